"""The first error of a wrong attempt, by binary search over its prefixes.

OmegaPRM (Luo et al., arXiv 2406.06592, section 3.2): a prefix from which no draw comes out right is
lost; of the prefixes of a wrong attempt the first lost one is looked for by halving, in about
log2(steps) tests instead of one for each step.

Where this differs:

* a test stops at the first right draw; only a lost prefix costs all of them;
* ``drop`` asks another question: is the value below RHO times the root's (see chain.py)? Where the
  model often recovers from errors "no draw" comes too late, and the later the more draws there are;
* nothing is looked for in an attempt that is right, or undecided, or whose problem the model never
  gets right: there no prefix tells anything;
* halving supposes that values only fall. They do not, so the neighbours are looked at afterwards:
  while the prefix before the last good one is lost, or the one after the first lost one is not, the
  search goes on there, in what has not been looked at. A prefix that was called lost, but after
  which the model recovers, gets as many draws again before it stays so.

* ``posterior`` asks neither, but where the error most probably is (search/information_gain.py).

What was drawn stands at the prefixes looked at, and why drawing stopped there in ``tree.rule``;
step-label reads the first error from that.
"""

from __future__ import annotations

from stepkit.core import stopping
from stepkit.core.trace import assistant_steps
from stepkit.schema import ROOT, Json
from stepkit.search.information_gain import draw_by_information_gain
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_tree import close_tree, judged, open_tree
from stepkit.search.rollout_tree import Asking, DrawPlace, RolloutTree
from stepkit.search.scheduler import Strategy
from stepkit.search.sequential_draws import follow
from stepkit.search.stop_rules import Until, against_root, rule_of

AGAIN = 2
"""A prefix that looked lost though the next one is not gets this many times as many draws."""


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth = open_tree(setup, data)
    yield from judged(growth, data)
    until, most = setup.options["until"], setup.options["draws"]
    spine = growth.tree["spine"]
    if spine and growth.tree["outcome"][spine[-1]] == 0:
        if until["name"] == "posterior":
            own = assistant_steps(data, len(spine))
            yield from draw_by_information_gain(
                growth, growth.spine_prefixes(), own, until["chance"], most
            )
        else:
            yield from BisectionStates(growth, until, most).run()
    return close_tree(growth, data)


class BisectionStates:
    """States 0 .. steps: the prefixes before each step, and the end, which is lost."""

    def __init__(self, growth: RolloutTree, until: Until, most: int) -> None:
        self._growth = growth
        self._until, self._most = until, most
        self._nodes = [ROOT, *growth.tree["spine"]]
        self._rule = ""
        self._lost = {len(self._nodes) - 1: True}  # of the states looked at

    def run(self) -> Asking:
        """Look for the first lost state; what is found stands in the tree."""
        if (yield from self._root_is_lost()):
            return
        span: tuple[int, int] | None = (0, len(self._nodes) - 1)
        while span is not None:
            good, bad = yield from self._halve(*span)
            span = (yield from self._earlier(good)) or (yield from self._later(bad))

    def _root_is_lost(self) -> Asking:
        if self._until["name"] != "drop":
            self._rule = rule_of(self._until, self._most)
            return (yield from self._is_lost(0))
        count = int(self._until["root"])
        yield from self._growth.drawn([DrawPlace(ROOT, number) for number in range(count)])
        self._rule = against_root(self._growth, self._until, self._most)
        self._lost[0] = not self._growth.counted(ROOT)[0]
        return self._lost[0]

    def _halve(self, good: int, bad: int) -> Asking:
        """The two neighbours, good and lost, that halving between two such states comes to."""
        while bad - good > 1:
            middle = (good + bad) // 2
            if (yield from self._is_lost(middle)):
                bad = middle
            else:
                good = middle
        return good, bad

    def _earlier(self, good: int) -> Asking:
        """Where to look before ``good`` when the state before it is lost, though it is not."""
        if good < 2 or good - 1 in self._lost or not (yield from self._is_lost(good - 1)):
            return None
        return max(s for s, lost in self._lost.items() if s < good and not lost), good - 1

    def _later(self, bad: int) -> Asking:
        """Where to look after ``bad`` when the state after it is good, and ``bad`` is so, too,
        after as many draws again."""
        after = bad + 1
        if after in self._lost or after >= len(self._nodes) or (yield from self._is_lost(after)):
            return None
        if (yield from self._is_lost(bad, again=True)):
            return None
        return after, min(s for s, lost in self._lost.items() if s > after and lost)

    def _is_lost(self, state: int, again: bool = False) -> Asking:
        if state not in self._lost or again:
            rule = stopping.with_times_the_draws(AGAIN, self._rule) if again else self._rule
            node = self._nodes[state]
            lanes = yield from follow(self._growth, {node: rule})
            self._lost[state] = lanes[node].leans
        return self._lost[state]
