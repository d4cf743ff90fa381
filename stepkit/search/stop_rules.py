"""From a question of ``--until`` (until_rules.py) to the stop rule that answers it."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

from stepkit.core import stopping
from stepkit.core.drop_calibration import calibrated_bound
from stepkit.schema import ROOT
from stepkit.search.rollout_tree import RolloutTree

Until = Mapping[str, Any]
"""``name`` of the question and its parameters."""


def stop_rule(until: Until, most: int) -> str:
    """The rule of a question about one prefix alone."""
    if until["name"] == "hard":
        most = stopping.draws_to_rule_out(until["value"], until["error"])
    if until["name"] in ("first-success", "hard"):
        return stopping.format_rule("first-success", most=most)
    parameters = {name: value for name, value in until.items() if name != "name"}
    return stopping.format_rule("wilson", **parameters, most=most)


def drop_rule(rollouts: RolloutTree, until: Until, most: int, horizon: int = 0) -> str:
    """The test for a drop of the value to less than RHO times the root's (core/drop_test.py).

    The ratios that it tells apart are a factor ``ratio`` apart around RHO, but a value that is no
    lower than the root's is never a drop.

    Args:
        horizon: up to how many draws its error is kept, if that is more than ``most``.
    """
    k, n = rollouts.counts_at(ROOT)
    if not n:
        return stopping.format_rule("first-success", most=most)
    low = until["rho"] / sqrt(until["ratio"])
    high = min(1.0, until["rho"] * sqrt(until["ratio"]))
    bound = calibrated_bound(n, low, high, until["error"], max(most, horizon))
    return stopping.format_rule("drop", right=k, root=n, low=low, high=high, bound=bound, most=most)
