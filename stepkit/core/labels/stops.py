"""What a rule that stopped the drawing does to k / n, and what can be done about it."""

from __future__ import annotations


def looking(rule: object) -> str:
    """The rule as it is written in ``tree.rule`` when it looked at the draws, else ""."""
    return ""


def unbiased(rule: str, k: float, n: int) -> float:
    return k / n
