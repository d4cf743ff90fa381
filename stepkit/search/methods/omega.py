"""First errors of many attempts at one problem, by tree search over prefixes (OmegaPRM).

Luo et al., arXiv 2406.06592, section 3.3. A state is a prefix, MC(s) the share of right ones among
the k continuations drawn from it. Each search takes the state s and the wrong continuation r of it
with the largest Q + U,

    Q(s, r) = alpha^(1 - MC(s)) beta^(len(r) / L)              (1)
    U(s)    = c sqrt(sum of all N(s')) / (1 + N(s))             (2)

and finds the first error of r by halving: k continuations are drawn from the prefix in the middle;
if none is right the error is before it, else after it. Each prefix drawn from is a new state, and
its wrong continuations are candidates of later searches where 0 < MC < 1.

Where this differs: len(r) is in tokens, not in words (L is theirs, 500); a pair (s, r) is searched
once (the published code puts it back, and may select it for ever); a record's own wrong attempt is
a candidate from the start; all continuations of a state stay in the tree, right ones too; the steps
cut from a wrong continuation stand below its state, marked by ``cut``, without its outcome: it was
chosen for being wrong. Undecided draws are in neither k nor n; a prefix with no decided draw ends
its search.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from stepkit.schema import ROOT, Json
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_budget import Within
from stepkit.search.record_tree import close_tree_with_rule, judge_trace, open_tree
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import Strategy

ALPHA, BETA, LENGTH = 0.5, 0.9, 500


@dataclass(frozen=True)
class WrongContinuation:
    """A wrong continuation of a state.

    Attributes:
        draw: its node, or -1 for the record's own attempt.
    """

    state: int
    draw: int
    steps: tuple[str, ...]
    tokens: int


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts = open_tree(setup, record, ids=True)
    yield from judge_trace(rollouts, record)
    options = setup.options
    search = OmegaSearch(rollouts, options["draws"], options["exploration"])
    yield from search.run(options["searches"], rollouts.spent.within(options))
    return close_tree_with_rule(rollouts, record)


class OmegaSearch:
    """The states of one problem, and the wrong continuations that were not searched yet."""

    def __init__(self, rollouts: RolloutTree, k: int, exploration: float) -> None:
        self._rollouts = rollouts
        self._k, self._exploration = k, exploration
        self._values: dict[int, float | None] = {}
        self._searched: dict[int, int] = {}  # N(s)
        self._pool: list[WrongContinuation] = []

    def run(self, searches: int, within: Within) -> Strategy[None]:
        """Search at most ``searches`` pairs (s, r), within the budget."""
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

    def _halve(self, wrong: WrongContinuation, within: Within) -> Strategy[None]:
        """Find the first prefix of ``wrong`` from which no draw is right."""
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
            return int(self._rollouts.tree["spine"][steps - 1])
        return self._rollouts.cut(wrong.draw, wrong.steps[:steps])[-1]

    def _value(self, node: int) -> Strategy[float | None]:
        """MC of a node; the wrong continuations of a new state join the pool."""
        if node not in self._values:
            rollouts = self._rollouts
            draws = yield from rollouts.draw(rollouts.next_places(node, self._k, whole=True))
            k, n = rollouts.counts_at(node)
            self._values[node] = k / n if n else None
            if 0 < k < n:
                for draw in draws:
                    self._add(node, draw)
        return self._values[node]

    def _add(self, state: int, draw: int) -> None:
        if self._rollouts.tree["outcome"][draw] == 0:
            steps = tuple(self._rollouts.steps_of(draw))
            self._pool.append(
                WrongContinuation(state, draw, steps, self._rollouts.tree["tokens"][draw])
            )

    def _add_own(self) -> None:
        rollouts = self._rollouts
        spine = rollouts.tree["spine"]
        if spine and rollouts.tree["outcome"][spine[-1]] == 0:
            steps = tuple(rollouts.tree["text"][node] for node in spine)
            length = len(rollouts.prefix_ids(spine[-1])) - len(rollouts.prefix_ids(ROOT))
            self._pool.append(WrongContinuation(ROOT, -1, steps, length))
