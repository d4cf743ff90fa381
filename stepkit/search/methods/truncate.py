"""The k next steps from one shared prefix, and nothing after them.

SLATE (Samarinas et al., arXiv 2602.23440): attempts that share their beginning and differ in the
next step alone tell which step is better with less variance than whole attempts do; a judge scores
the steps. Here the beginnings are those of the trace, or the one before the first error of a label
(``--at``), and the judge is another command.

Where this differs: SLATE goes on from the best of the k steps; the trace is what goes on here. A
step that ended the attempt has its outcome.
"""

from __future__ import annotations

from stepkit.schema import Json
from stepkit.search.flagged_step import flagged_step
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_tree import close_tree_with_rule, open_tree
from stepkit.search.rollout_tree import Asking, DrawPlace, RolloutTree
from stepkit.search.scheduler import Strategy


def truncate(growth: RolloutTree, nodes: list[int], k: int) -> Asking:
    """Draw the steps number 0 .. k - 1 at each of ``nodes``."""
    yield from growth.drawn([DrawPlace(node, n, whole=False) for node in nodes for n in range(k)])


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth = open_tree(setup, data)
    prefixes = growth.spine_prefixes()
    at = setup.options["at"]
    if at is not None:
        step = flagged_step(data, at)
        prefixes = [] if step is None else [prefixes[step]]
    yield from truncate(growth, prefixes, setup.options["draws"])
    return close_tree_with_rule(growth, data)
