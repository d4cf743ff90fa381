"""Monte Carlo evidence at every prefix of a trace, as in Math-Shepherd.

Wang et al., "Math-Shepherd" (arXiv 2312.08935), section 3.3: from the prefix that ends with step t
a completer draws N whole continuations with the answers a_1 ... a_N, of which a* is the reference.
The quality of the step is, as

    hard estimate:  y = 1 if any a_j = a*, else 0                  (3)
    soft estimate:  y = (number of a_j = a*) / N                   (4)

Where this differs: the empty prefix is drawn from, too (progress and relative first errors need its
value); the last step is not (there is nothing to draw: its value is the trace's own outcome);
undecided draws (cut off, no answer) are counted apart instead of as wrong; and nothing is summed
over later prefixes, so every count belongs to its own prefix.

With a rule (``until``) a prefix is drawn from until its question is answered:

* ``first-success``: has it any right draw? More draws change no hard label.
* ``hard``: the same, with as many draws as show a right one at a prefix of a given value, except at
  an error rate, instead of k.
* ``wilson``: its value to within a half-width (AMCS, arXiv 2509.24351, has this rule).
* ``drop``: is its value below RHO times the root's? The root gets a fixed number of decided draws,
  and a test of the ratio of the two values counts both samples (core/drop_test.py): a wrong answer
  has at most the stated probability whatever the root's value is. Where the root had no right draw
  no prefix is called lost.
* ``progress``: did the step raise or lower the value? Draws of neighbouring prefixes are paired
  (core/stopping.py, ``lead``); every prefix serves the tests of the steps before and after it.

* ``posterior``: which step is the first error, or is there none (search/information_gain.py)? Draws
  go where they tell most about that, so many prefixes get few or none.

Steps that need no draws of their own may be left out (``skip``, search/skipped_steps.py).

With a budget for the whole run (``budget``) all prefixes of all traces get a few draws, and then
those with the least certain value get more (search/budget_allocation.py). With both, the rules ask
and the budget grants: a rule stops before the budget, or the budget cuts it short.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.schema import ROOT, Json
from stepkit.search.information_gain import draw_until_probable
from stepkit.search.method_setup import MethodSetup
from stepkit.search.neighbour_comparison import compare_neighbours
from stepkit.search.record_tree import close_tree, judge_trace, open_tree
from stepkit.search.rollout_tree import DrawPlace, RolloutTree
from stepkit.search.run_budget import DrawLimit, RunBudgetLimit, draw_by_run_budget
from stepkit.search.scheduler import Strategy
from stepkit.search.sequential_draws import draw_decided, draw_sequentially
from stepkit.search.skipped_steps import mark_skipped, skipped_nodes
from stepkit.search.stop_rules import Until, drop_rule, stop_rule


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts = open_tree(setup, record)
    yield from judge_trace(rollouts, record)
    until, most = setup.options["until"], setup.options["draws"]
    budget, skip = setup.options["budget"], setup.options["skip"]
    prefixes = rollouts.spine_prefixes()
    skipped = [] if skip is None else skipped_nodes(rollouts, record, skip)
    setup.skipped.update(skipped=len(skipped), prefixes=len(prefixes))
    mark_skipped(rollouts, skipped, skip or {})
    nodes = [node for node in prefixes if node not in skipped]
    if until is not None:
        limit = DrawLimit() if budget is None else RunBudgetLimit(next(setup.order))
        yield from chain_until(rollouts, record, nodes, until, most, limit)
        yield from limit.settle(rollouts)
    elif budget is not None:
        yield from draw_by_run_budget(rollouts, nodes, most, next(setup.order))
    else:
        yield from chain(rollouts, nodes, most)
    return close_tree(rollouts, record)


def chain(rollouts: RolloutTree, nodes: Sequence[int], k: int) -> Strategy[None]:
    """Complete the tree to ``k`` draws from each of ``nodes``.

    Draws that the tree already holds are not made again (top-up), except those that failed. A trace
    without steps is drawn from at the root only.
    """
    incomplete = [node for node in nodes if rollouts.node_at(DrawPlace(node, k - 1)) is None]
    yield from rollouts.draw([DrawPlace(node, number) for node in nodes for number in range(k)])
    for node in incomplete:
        rollouts.set_rule(node, "")  # now draws 0 .. k - 1: no rule decided


def chain_until(
    rollouts: RolloutTree,
    record: Json,
    nodes: Sequence[int],
    until: Until,
    most: int,
    limit: DrawLimit,
) -> Strategy[None]:
    """Draw from each of ``nodes`` until the question is answered, or ``most`` times."""
    name = until["name"]
    if name == "progress":
        yield from compare_neighbours(rollouts, nodes, until["odds"], until["error"], most, limit)
        return
    if name == "posterior":
        yield from draw_until_probable(rollouts, record, until["chance"], most, limit)
        return
    if name == "drop":
        yield from draw_decided(rollouts, ROOT, int(until["root"]), limit)
        if limit.spent:
            return  # without its draws there is no rule
        rule = drop_rule(rollouts, until, most)
        yield from draw_sequentially(rollouts, {node: rule for node in nodes[1:]}, limit)
        return
    rule = stop_rule(until, most)
    yield from draw_sequentially(rollouts, {node: rule for node in nodes}, limit)
