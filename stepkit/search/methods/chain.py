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

from collections.abc import Mapping
from math import sqrt
from typing import Any

from stepkit.core import stopping
from stepkit.schema import ROOT
from stepkit.search.method_registry import MethodSetup
from stepkit.search.neighbour_comparison import compare
from stepkit.search.record_tree import close_tree, judged, open_tree
from stepkit.search.rollout_tree import Asking, DrawPlace, RolloutTree
from stepkit.search.run_budget import share
from stepkit.search.scheduler import Strategy
from stepkit.search.sequential_draws import follow

Until = Mapping[str, Any]
"""``name`` of the rule and its parameters."""

SURELY = 0.98
"""The largest rate that a drop is tested against, but where the lower one is as large."""


def start(setup: MethodSetup, data: dict[str, Any]) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth = open_tree(setup, data)
    yield from judged(growth, data)
    until, most = setup.options["until"], setup.options["draws"]
    if setup.options["budget"] is not None:
        yield from share(growth, prefixes_of(growth), most, next(setup.order))
    elif until is not None:
        yield from chain_until(growth, until, most)
    else:
        yield from chain(growth, most)
    return close_tree(growth, data)


def prefixes_of(growth: RolloutTree) -> list[int]:
    """The nodes that a trace is drawn from: its root and its steps but the last."""
    return [ROOT, *growth.tree["spine"][:-1]]


def chain(growth: RolloutTree, k: int) -> Asking:
    """Complete the tree to ``k`` draws from every prefix of its trace.

    Draws that the tree already holds are kept and not drawn again (top-up), those that ended in an
    error are. A trace without steps is drawn from at the root only.
    """
    nodes = prefixes_of(growth)
    lacking = [node for node in nodes if growth.at(DrawPlace(node, k - 1)) is None]
    yield from growth.drawn([DrawPlace(node, number) for node in nodes for number in range(k)])
    for node in lacking:
        growth.note(node, "")  # draws 0 .. k - 1 and no others: no rule decides any more


def chain_until(growth: RolloutTree, until: Until, most: int) -> Asking:
    """Draw from every prefix until the question is answered, or ``most`` times."""
    nodes = prefixes_of(growth)
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


def rule_of(until: Until, most: int) -> str:
    """The rule of a question that does not ask of another prefix."""
    if until["name"] == "hard":
        most = stopping.needed(until["value"], until["error"])
    if until["name"] in ("first-success", "hard"):
        return stopping.text_of("first-success", most=most)
    given = {name: value for name, value in until.items() if name != "name"}
    return stopping.text_of("wilson", **given, most=most)


def against_root(growth: RolloutTree, until: Until, most: int) -> str:
    """The test of a drop to less than RHO of the root's share of right draws."""
    k, n = growth.counted(ROOT)
    if not k:
        return stopping.text_of("first-success", most=most)
    middle, half = until["rho"] * k / n, sqrt(until["ratio"])
    low = middle / half
    high = min(max(SURELY, sqrt(low)), middle * half)  # above ``low``, however high that is
    return stopping.text_of("sprt", low=low, high=high, error=until["error"], most=most)
