"""From a question of ``--until`` (until_rules.py) to the stop rule that answers it."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

from stepkit.core import stopping
from stepkit.schema import ROOT
from stepkit.search.rollout_tree import RolloutTree

Until = Mapping[str, Any]
"""``name`` of the rule and its parameters."""

SURELY = 0.98
"""The largest rate that a drop is tested against, but where the lower one is as large."""


def rule_of(until: Until, most: int) -> str:
    """The rule of a question that does not ask of another prefix."""
    if until["name"] == "hard":
        most = stopping.draws_to_rule_out(until["value"], until["error"])
    if until["name"] in ("first-success", "hard"):
        return stopping.format_rule("first-success", most=most)
    given = {name: value for name, value in until.items() if name != "name"}
    return stopping.format_rule("wilson", **given, most=most)


def against_root(growth: RolloutTree, until: Until, most: int) -> str:
    """The test of a drop to less than RHO of the root's share of right draws."""
    k, n = growth.counted(ROOT)
    if not k:
        return stopping.format_rule("first-success", most=most)
    middle, half = until["rho"] * k / n, sqrt(until["ratio"])
    low = middle / half
    high = min(max(SURELY, sqrt(low)), middle * half)  # above ``low``, however high that is
    return stopping.format_rule("sprt", low=low, high=high, error=until["error"], most=most)
