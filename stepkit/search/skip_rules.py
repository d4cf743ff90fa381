"""The rules of --skip: which steps need no draws of their own (search/skipped_steps.py)."""

from __future__ import annotations

from stepkit.errors import UsageError
from stepkit.schema import Json

LEAST = 0.95
"""Probability of a step that is certain."""


def parse_skip(text: str) -> Json:
    """``short`` or ``certain[:P]``. Raises UsageError."""
    name, _, value = text.partition(":")
    if text == "short":
        return {"name": "short"}
    try:
        least = float(value) if value else LEAST
    except ValueError:
        least = 0.0
    if name != "certain" or not 0 < least < 1 or text.endswith(":"):
        raise UsageError(
            f"--skip {text}: expected short, or certain[:P] with a probability P between 0 and 1"
        )
    return {"name": "certain", "least": least}
