"""The first error of a wrong attempt, by binary search over its prefixes.

OmegaPRM (Luo et al., arXiv 2406.06592, section 3.2): a prefix s with MC(s) = 0, from which none of
k draws is right, is lost; the first lost prefix of a wrong attempt is found by halving, in about
log2(steps) tests instead of one for each step.

Where this differs:

* a test stops at the first right draw; only a lost prefix costs all of them;
* ``drop`` asks another question: is the value below RHO times the root's (see chain.py)? Where the
  model often recovers from errors, "no right draw" comes too late, and the later the more draws
  there are;
* an attempt that is right or undecided, or whose problem the model never gets right, is not
  searched: no prefix of it is informative;
* halving assumes that values only fall. They do not, so the neighbours are tested afterwards: while
  the prefix before the last good one is lost, or the one after the first lost one is good, the
  search continues there, among prefixes not tested yet. A lost prefix before a good one is tested
  again with as many draws before it stays lost;
* ``posterior`` asks neither, but where the error most probably is (search/information_gain.py).

The draws stand at the prefixes that were tested, and why drawing stopped there in ``tree.rule``,
from which step-label reads the first error.
"""

from __future__ import annotations

from stepkit.core import stopping
from stepkit.schema import ROOT, Json
from stepkit.search.information_gain import draw_until_probable
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_tree import close_tree, judge_trace, open_tree
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import Strategy
from stepkit.search.sequential_draws import draw_decided, draw_sequentially
from stepkit.search.stop_rules import Until, drop_rule, stop_rule

AGAIN = 2
"""A lost prefix before a good one gets this many times as many draws in all."""


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts = open_tree(setup, record)
    yield from judge_trace(rollouts, record)
    until, most = setup.options["until"], setup.options["draws"]
    spine = rollouts.tree["spine"]
    if spine and rollouts.tree["outcome"][spine[-1]] == 0:
        if until["name"] == "posterior":
            yield from draw_until_probable(rollouts, record, until["chance"], most)
        else:
            yield from BisectionStates(rollouts, until, most).run()
    return close_tree(rollouts, record)


class BisectionStates:
    """States 0 .. steps: the prefix before each step, and the whole attempt, which is lost."""

    def __init__(self, rollouts: RolloutTree, until: Until, most: int) -> None:
        self._rollouts = rollouts
        self._until, self._most = until, most
        self._nodes = [ROOT, *rollouts.tree["spine"]]
        self._rule = ""
        self._lost = {len(self._nodes) - 1: True}  # of the states tested

    def run(self) -> Strategy[None]:
        """Find the first lost state; the draws and rules in the tree show it."""
        if (yield from self._root_is_lost()):
            return
        span: tuple[int, int] | None = (0, len(self._nodes) - 1)
        while span is not None:
            good, bad = yield from self._halve(*span)
            span = (yield from self._earlier(good)) or (yield from self._later(bad))

    def _root_is_lost(self) -> Strategy[bool]:
        if self._until["name"] != "drop":
            self._rule = stop_rule(self._until, self._most)
            return (yield from self._is_lost(0))
        yield from draw_decided(self._rollouts, ROOT, int(self._until["root"]))
        self._rule = drop_rule(self._rollouts, self._until, self._most, AGAIN * self._most)
        self._lost[0] = not self._rollouts.counts_at(ROOT)[0]
        return self._lost[0]

    def _halve(self, good: int, bad: int) -> Strategy[tuple[int, int]]:
        """Halve between a good and a lost state until the two are neighbours; returns them."""
        while bad - good > 1:
            middle = (good + bad) // 2
            if (yield from self._is_lost(middle)):
                bad = middle
            else:
                good = middle
        return good, bad

    def _earlier(self, good: int) -> Strategy[tuple[int, int] | None]:
        """Where to search before ``good`` when the state before it is lost; else None."""
        if good < 2 or good - 1 in self._lost or not (yield from self._is_lost(good - 1)):
            return None
        return max(s for s, lost in self._lost.items() if s < good and not lost), good - 1

    def _later(self, bad: int) -> Strategy[tuple[int, int] | None]:
        """Where to search after ``bad`` when the state after it is good, and ``bad`` is good, too,
        after as many draws again; else None."""
        after = bad + 1
        if after in self._lost or after >= len(self._nodes) or (yield from self._is_lost(after)):
            return None
        if (yield from self._is_lost(bad, again=True)):
            return None
        return after, min(s for s, lost in self._lost.items() if s > after and lost)

    def _is_lost(self, state: int, again: bool = False) -> Strategy[bool]:
        if state not in self._lost or again:
            rule = stopping.with_times_the_draws(AGAIN, self._rule) if again else self._rule
            node = self._nodes[state]
            draws_at = yield from draw_sequentially(self._rollouts, {node: rule})
            self._lost[state] = draws_at[node].more_likely_lost
        return self._lost[state]
