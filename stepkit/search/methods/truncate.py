"""The k next steps from one shared prefix, and nothing after them.

SLATE (Samarinas et al., arXiv 2602.23440): k attempts that share a prefix and differ in the next
step alone are compared step against step, with less variance than whole attempts; a judge scores
the steps. Here the prefixes are those of the trace, or the one before the first error of a label
(``--at``), and the judge is another command.

Where this differs: SLATE continues from the best of the k steps; here the next prefix is that of
the trace. A step that ended the attempt has its outcome.
"""

from __future__ import annotations

from stepkit.schema import Json
from stepkit.search.flagged_step import flagged_step
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_tree import close_tree_with_rule, open_tree
from stepkit.search.rollout_tree import DrawPlace, RolloutTree
from stepkit.search.scheduler import Strategy


def truncate(rollouts: RolloutTree, nodes: list[int], k: int) -> Strategy[None]:
    """Draw the steps 0 .. k - 1 at each of ``nodes``."""
    yield from rollouts.draw([DrawPlace(node, n, whole=False) for node in nodes for n in range(k)])


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts = open_tree(setup, record)
    prefixes = rollouts.spine_prefixes()
    at = setup.options["at"]
    if at is not None:
        step = flagged_step(record, at)
        prefixes = [] if step is None else [prefixes[step]]
    yield from truncate(rollouts, prefixes, setup.options["draws"])
    return close_tree_with_rule(rollouts, record)
