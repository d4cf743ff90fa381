"""Monte Carlo evidence at every prefix of a trace, as in Math-Shepherd.

Wang et al., "Math-Shepherd" (arXiv 2312.08935), section 3.3: from the prefix that ends with step t
a completer draws k whole remainders; how many reach the reference answer tells the step's quality
(hard estimate: any of them, formula 3; soft estimate: their share, formula 4).

Where this differs: the empty prefix is drawn from too (progress and relative first errors need its
value); the last step is not (nothing is left to draw: its value is the trace's own verdict);
undecided draws (cut off, no answer) are kept apart instead of counting as wrong; and nothing is
summed over later prefixes, so every count belongs to its own prefix.

With a rule (``until``) a prefix is drawn from until its question is answered:

* ``first-success``: has it any right draw? For hard labels k draws say no more.
* ``hard``: the same, with as many draws as make a prefix of a certain value show one (but for an
  error rate), instead of k.
* ``wilson``: how large is its value, to so much (AMCS, arXiv 2509.24351, has this rule).
* ``drop``: is its value below RHO times the root's? Wald's test of RHO / sqrt(ratio) against
  RHO * sqrt(ratio) times the root's share; the root itself gets a fixed number of draws. Where the
  root had no right one, the question is that of ``first-success``.
* ``progress``: did the step raise or lower the value? Draws of neighbouring prefixes are paired
  (core/stopping.py, ``lead``); every prefix serves the tests of the steps before and after it.

With a budget for the whole run (``budget``) all prefixes of all traces get a few draws, and then
those whose value is the least certain get more (search/budget_allocation.py).
"""

from __future__ import annotations

from stepkit.schema import ROOT, Json
from stepkit.search.method_setup import MethodSetup
from stepkit.search.neighbour_comparison import compare
from stepkit.search.record_tree import close_tree, judged, open_tree
from stepkit.search.rollout_tree import Asking, DrawPlace, RolloutTree
from stepkit.search.run_budget import share
from stepkit.search.scheduler import Strategy
from stepkit.search.sequential_draws import follow
from stepkit.search.stop_rules import Until, against_root, rule_of


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth = open_tree(setup, data)
    yield from judged(growth, data)
    until, most = setup.options["until"], setup.options["draws"]
    if setup.options["budget"] is not None:
        yield from share(growth, growth.spine_prefixes(), most, next(setup.order))
    elif until is not None:
        yield from chain_until(growth, until, most)
    else:
        yield from chain(growth, most)
    return close_tree(growth, data)


def chain(growth: RolloutTree, k: int) -> Asking:
    """Complete the tree to ``k`` draws from every prefix of its trace.

    Draws that the tree already holds are kept and not drawn again (top-up), those that ended in an
    error are. A trace without steps is drawn from at the root only.
    """
    nodes = growth.spine_prefixes()
    lacking = [node for node in nodes if growth.at(DrawPlace(node, k - 1)) is None]
    yield from growth.drawn([DrawPlace(node, number) for node in nodes for number in range(k)])
    for node in lacking:
        growth.note(node, "")  # draws 0 .. k - 1 and no others: no rule decides any more


def chain_until(growth: RolloutTree, until: Until, most: int) -> Asking:
    """Draw from every prefix until the question is answered, or ``most`` times."""
    nodes = growth.spine_prefixes()
    name = until["name"]
    if name == "progress":
        yield from compare(growth, nodes, until["odds"], until["error"], most)
        return
    if name == "drop":
        root = int(until["root"])
        yield from growth.drawn([DrawPlace(ROOT, number) for number in range(root)])
        rule = against_root(growth, until, most)
        yield from follow(growth, {node: rule for node in nodes[1:]})
        return
    rule = rule_of(until, most)
    yield from follow(growth, {node: rule for node in nodes})
