"""From a question of ``--until`` (until_rules.py) to the stop rule that answers it."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

from stepkit.core import stopping
from stepkit.schema import ROOT
from stepkit.search.rollout_tree import RolloutTree

Until = Mapping[str, Any]
"""``name`` of the question and its parameters."""

SURELY = 0.98
"""The largest upper rate of a test for a drop, unless its lower rate is that large, too."""


def stop_rule(until: Until, most: int) -> str:
    """The rule of a question about one prefix alone."""
    if until["name"] == "hard":
        most = stopping.draws_to_rule_out(until["value"], until["error"])
    if until["name"] in ("first-success", "hard"):
        return stopping.format_rule("first-success", most=most)
    parameters = {name: value for name, value in until.items() if name != "name"}
    return stopping.format_rule("wilson", **parameters, most=most)


def drop_rule(rollouts: RolloutTree, until: Until, most: int) -> str:
    """The test for a drop of the value to less than RHO times the root's."""
    k, n = rollouts.counts_at(ROOT)
    if not k:
        return stopping.format_rule("first-success", most=most)
    middle, half = until["rho"] * k / n, sqrt(until["ratio"])
    low = middle / half
    high = min(max(SURELY, sqrt(low)), middle * half)  # above ``low``, however high that is
    return stopping.format_rule("sprt", low=low, high=high, error=until["error"], most=most)
