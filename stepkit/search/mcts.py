"""Monte Carlo tree search over steps, with UCT or PUCT.

Every search goes down from the root by the highest

    UCT:  Q + c sqrt(ln N(parent) / N)           (Kocsis and Szepesvari 2006)
    PUCT: Q + c P sqrt(N(parent)) / (1 + N)      (AlphaMath, arXiv 2405.03553, section 3.2)

to a step without children and draws ``width`` next steps there; then each new step is simulated by
one draw of the remainder, and the outcomes are carried up. Q is the share of right ones among the
decided simulations through a step, N counts all of them, and P is the step's probability per token,
exp(sum of log-probabilities / tokens), over the sum of its siblings'.

With a ``self_weight`` w the model is also asked what it thinks of each new step, and Q becomes
(1 - w) Q + w C, C being the mean of these opinions over the simulations through a step: MCTS-DPO
(arXiv 2405.00451, section 3.1) adds the two, AlphaMath mixes its value model in like this. With
w = 1 no remainders are drawn, and opinions alone lead the search.

Where this differs: all ``width`` new steps are simulated, because their draws share a batch and
siblings with values are what training rows are made of. Equal siblings are one candidate, the
first; the others stay in the tree. An undecided simulation counts in N and not in Q; a step of
which nothing is decided has its parent's Q. Going to a step that ended the attempt repeats its
outcome and draws nothing; it counts as a simulation.

``tree.visits`` holds the node that each simulation ended at, in order, and ``tree.scores.self`` the
opinions: N and Q are a replay of them (core/backups.py has that of the outcomes), and so is the
whole search, from what the tree or the journal holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from typing import Any

from stepkit import schema
from stepkit.core.tree import Tree
from stepkit.schema import NO_PARENT, ROOT
from stepkit.search.growing import Asking, Growth
from stepkit.search.methods import Setup
from stepkit.search.scheduler import Strategy
from stepkit.search.self_evaluation import SelfEvaluation
from stepkit.search.traces import begun, grown

Score = Callable[[int], float]


class Statistics:
    """N and Q of the nodes so far: sums over the simulations that went through them."""

    def __init__(self, tree: Tree, self_weight: float = 0.0) -> None:
        self.visits: dict[int, int] = {}
        self._tree = tree
        self._weight = self_weight
        self._opinion: dict[int, float] = {}
        self._right: dict[int, float] = {}
        self._decided: dict[int, int] = {}

    def back_up(self, leaf: int, opinion: float) -> None:
        """Note a simulation; carry its outcome and the opinion of its step up to the root."""
        outcome = self._tree["outcome"][leaf]
        self._tree["visits"].append(leaf)
        node = leaf
        while node != NO_PARENT:
            self.visits[node] = self.visits.get(node, 0) + 1
            self._opinion[node] = self._opinion.get(node, 0.0) + opinion
            if outcome is not None:
                self._decided[node] = self._decided.get(node, 0) + 1
                self._right[node] = self._right.get(node, 0.0) + outcome
            node = self._tree["parent"][node]

    def q(self, node: int) -> float:
        """What the step is worth, by outcomes and opinions."""
        own = self._opinion[node] / self.visits[node]
        return (1 - self._weight) * self._share(node) + self._weight * own

    def _share(self, node: int) -> float:
        """Share of right ones among the decided, else the parent's; 0 where nothing is decided."""
        while not self._decided.get(node):
            node = self._tree["parent"][node]
            if node == NO_PARENT:
                return 0.0
        return self._right[node] / self._decided[node]


@dataclass(frozen=True)
class Plan:
    """How a search goes.

    Attributes:
        simulations: how many; exactly so many, but for a budget that ends it earlier.
        width: next steps drawn at depth 0, 1, ...; the last number is for all below.
        exploration: c.
        puct: by PUCT, else by UCT.
        self_weight: how much the model's own opinion of a step counts in Q, 0 to 1.
        budget: asked before every expansion whether there is room for so many draws.
    """

    simulations: int
    width: Sequence[int]
    exploration: float
    puct: bool = False
    self_weight: float = 0.0
    budget: Callable[[int], bool] = lambda count: True


def mcts(growth: Growth, plan: Plan, judge: SelfEvaluation | None = None) -> Asking:
    """Search by ``plan``; the leaves of the simulations become the tree's ``visits``.

    Args:
        judge: asked for opinions, where the plan gives them a weight.
    """
    tree = growth.tree
    tree["visits"] = []
    seen = Statistics(tree, plan.self_weight)
    score = _puct if plan.puct else _uct
    children: dict[int, list[int]] = {}
    opinions: dict[int, float] = {}
    while (left := plan.simulations - len(tree["visits"])) > 0:
        node, depth = ROOT, 0
        while siblings := children.get(node):
            node = max(siblings, key=score(tree, seen, siblings, plan.exploration))
            depth += 1
        if growth.ended(node):
            seen.back_up(node, opinions.get(node, 0.0))
            continue
        width = plan.width[min(depth, len(plan.width) - 1)]
        if not plan.budget(width + min(width, left)):
            break
        steps = yield from growth.drawn(growth.fresh(node, width, whole=False))
        children[node] = candidates(growth, steps)
        fresh = children[node][:left]
        if judge is not None:
            answers = yield [judge.read(growth.given(step)) for step in fresh]
            opinions |= zip(fresh, map(judge.chance, answers), strict=True)
        leaves = yield from _simulated(growth, fresh, plan.self_weight < 1)
        for step, leaf in zip(fresh, leaves, strict=True):
            seen.back_up(leaf, opinions.get(step, 0.0))
    if judge is not None:
        x = [opinions.get(node) for node in range(len(tree["parent"]))]
        tree["scores"] = {
            **tree.get("scores", {}),
            "self": {"of": "validity", "by": "scorer", "x": x},
        }


def _simulated(growth: Growth, steps: Sequence[int], by_draws: bool) -> Asking:
    """The leaf of each step's simulation: a remainder drawn there, or the step itself where the
    attempt ended or nothing is drawn."""
    going_on = [step for step in steps if by_draws and not growth.ended(step)]
    places = [growth.fresh(step, 1, whole=True)[0] for step in going_on]
    leaves = dict(zip(going_on, (yield from growth.drawn(places)), strict=True))
    return [leaves.get(step, step) for step in steps]


def candidates(growth: Growth, steps: Sequence[int]) -> list[int]:
    """The steps without those that repeat an earlier one, word for word and in how it ended."""
    text, finish = growth.tree["text"], growth.tree["finish"]
    first = {(text[step], finish[step]): step for step in reversed(steps)}
    return sorted(first.values())


def _uct(tree: Tree, seen: Statistics, siblings: Sequence[int], c: float) -> Score:
    above = log(sum(seen.visits.get(child, 0) for child in siblings))
    return lambda child: seen.q(child) + c * sqrt(above / seen.visits[child])


def _puct(tree: Tree, seen: Statistics, siblings: Sequence[int], c: float) -> Score:
    above = sqrt(sum(seen.visits.get(child, 0) for child in siblings))
    likely = {step: exp(tree["logprob"][step] / max(1, tree["tokens"][step])) for step in siblings}
    total = sum(likely.values())
    return lambda child: (
        seen.q(child) + c * likely[child] / total * above / (1 + seen.visits[child])
    )


def start(setup: Setup, data: dict[str, Any]) -> Strategy:
    """The strategy for one record (see methods.py)."""
    growth = begun(setup, data, ids=True)
    options = setup.options
    plan = Plan(
        options["searches"],
        options["width"],
        options["exploration"],
        options["select"] == "puct",
        options["self_weight"],
        growth.within(options["most_draws"], options["most_tokens"]),
    )
    judge = None
    if plan.self_weight:
        judge = SelfEvaluation(setup.sampler.prefixes, schema.problem_text(data))
    yield from mcts(growth, plan, judge)
    return grown(growth, data)
