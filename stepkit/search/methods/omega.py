"""Errors of many attempts at one problem, by tree search over where they may lie (OmegaPRM).

Luo et al., arXiv 2406.06592, section 3.3. A state is a prefix, MC(s) the share of right ones among
the k remainders drawn from it. Each search takes the state s and the wrong remainder r of it with
the largest Q + U,

    Q(s, r) = alpha^(1 - MC(s)) beta^(len(r) / L)              (1)
    U(s)    = c sqrt(sum of all N(s')) / (1 + N(s))             (2)

and looks for the first error of r by halving: k remainders are drawn from the prefix in the middle;
if none is right the error is before it, else after it. Each prefix drawn from is a new state, and
its wrong remainders are candidates of later searches where 0 < MC < 1.

Where this differs: len(r) is in tokens, not in words (L is theirs, 500); a pair (s, r) is searched
once and never again (the published code puts it back, and may select it for ever); a record's own
wrong attempt is a candidate from the start; the remainders of a state, right ones too, all stay in
the tree; the steps cut from a wrong remainder stand below its state, marked by ``cut``, without its
outcome: it was chosen for being wrong. Undecided draws are in neither k nor n; a prefix with no
decided draw ends its search.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from stepkit.schema import ROOT, Json
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_budget import Within
from stepkit.search.record_tree import close_tree, judged, open_tree
from stepkit.search.rollout_tree import Asking, RolloutTree
from stepkit.search.scheduler import Strategy

ALPHA, BETA, LENGTH = 0.5, 0.9, 500


@dataclass(frozen=True)
class WrongContinuation:
    """A wrong remainder of a state: the draw it is, or -1 for the record's own attempt."""

    state: int
    draw: int
    steps: tuple[str, ...]
    tokens: int


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth = open_tree(setup, data, ids=True)
    yield from judged(growth, data)
    options = setup.options
    search = OmegaSearch(growth, options["draws"], options["exploration"])
    yield from search.run(options["searches"], growth.spent.within(options))
    return close_tree(growth, data)


class OmegaSearch:
    """The states of one problem and the wrong remainders that were not searched yet."""

    def __init__(self, growth: RolloutTree, k: int, exploration: float) -> None:
        self._growth = growth
        self._k, self._exploration = k, exploration
        self._values: dict[int, float | None] = {}
        self._searched: dict[int, int] = {}  # N(s)
        self._pool: list[WrongContinuation] = []

    def run(self, searches: int, within: Within) -> Asking:
        """Search at most ``searches`` pairs, while the budget lasts."""
        if not within(self._k):
            return
        yield from self._value(ROOT)
        if self._values[ROOT]:
            self._add_own()
        for _ in range(searches):
            if not self._pool or not within(self._k):
                return
            best = max(self._pool, key=self._score)
            self._pool.remove(best)
            self._searched[best.state] = self._searched.get(best.state, 0) + 1
            yield from self._halve(best, within)

    def _score(self, wrong: WrongContinuation) -> float:
        value = self._values[wrong.state] or 0.0
        q = ALPHA ** (1 - value) * BETA ** (wrong.tokens / LENGTH)
        total = sum(self._searched.values())
        u = self._exploration * sqrt(total) / (1 + self._searched.get(wrong.state, 0))
        return float(q + u)

    def _halve(self, wrong: WrongContinuation, within: Within) -> Asking:
        """Look for the first prefix of ``wrong`` from which no draw is right."""
        good, bad = 0, len(wrong.steps)
        while bad - good > 1:
            if not within(self._k):
                return
            middle = (good + bad) // 2
            value = yield from self._value(self._node(wrong, middle))
            if value is None:
                return
            good, bad = (middle, bad) if value > 0 else (good, middle)

    def _node(self, wrong: WrongContinuation, steps: int) -> int:
        if wrong.draw < 0:
            return int(self._growth.tree["spine"][steps - 1])
        return self._growth.cut(wrong.draw, wrong.steps[:steps])[-1]

    def _value(self, node: int) -> Asking:
        """MC of a node; when it is a new state its wrong remainders come into the pool."""
        if node not in self._values:
            growth = self._growth
            draws = yield from growth.drawn(growth.fresh(node, self._k, whole=True))
            k, n = growth.counted(node)
            self._values[node] = k / n if n else None
            if 0 < k < n:
                for draw in draws:
                    self._add(node, draw)
        return self._values[node]

    def _add(self, state: int, draw: int) -> None:
        if self._growth.tree["outcome"][draw] == 0:
            steps = tuple(self._growth.steps_of(draw))
            self._pool.append(
                WrongContinuation(state, draw, steps, self._growth.tree["tokens"][draw])
            )

    def _add_own(self) -> None:
        growth = self._growth
        spine = growth.tree["spine"]
        if spine and growth.tree["outcome"][spine[-1]] == 0:
            steps = tuple(growth.tree["text"][node] for node in spine)
            length = len(growth.prefix(spine[-1])) - len(growth.prefix(ROOT))
            self._pool.append(WrongContinuation(ROOT, -1, steps, length))
