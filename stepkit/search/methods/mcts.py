"""Monte Carlo tree search over steps, with UCT or PUCT.

Every search goes down from the root by the highest

    UCT:  Q + c sqrt(ln N(parent) / N)           (Kocsis and Szepesvari 2006)
    PUCT: Q + c P sqrt(N(parent)) / (1 + N)      (AlphaMath, arXiv 2405.03553, section 3.2)

to a step without children and draws ``width`` next steps there; then each new step is simulated by
one draw of the remainder, and the outcomes are carried up. Q is the share of right ones among the
decided simulations through a step, N counts all of them, and P is the step's probability per token,
exp(sum of log-probabilities / tokens), over the sum of its siblings'.

With a weight w there is also an opinion of each new step, and Q becomes (1 - w) Q + w C, C being
the mean of the opinions over the simulations through a step. It is the model's own (MCTS-DPO, arXiv
2405.00451, section 3.1, which adds the two) or a scorer's (AlphaMath, section 3.2, mixes its value
model in like this; any process reward model will do). With w = 1, which is AlphaMath's search for
answers, no remainders are drawn, opinions alone lead the search, and no answer is needed. A scorer
can also be the prior: P is then its opinion of a step over the sum of its siblings'.

Where this differs: all ``width`` new steps are simulated, because their draws share a batch and
siblings with values are what training rows are made of. Equal siblings are one candidate, the
first; the others stay in the tree. An undecided simulation counts in N and not in Q; a step of
which nothing is decided has its parent's Q. Going to a step that ended the attempt repeats its
outcome and draws nothing; it counts as a simulation. The opinion of a step that was cut off is 0.

``tree.visits`` holds the node that each simulation ended at, in order, and ``tree.scores`` the
opinions, the model's own as ``self``: N and Q are a replay of them (core/backups.py has that of the
outcomes), and so is the whole search, from what the tree or the journal holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp, log, sqrt

from stepkit.core.tree import Tree
from stepkit.errors import DataError
from stepkit.schema import NO_PARENT, ROOT, Json
from stepkit.search.candidates import distinct
from stepkit.search.method_setup import MethodSetup, PrmSource
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree
from stepkit.search.record_budget import Within
from stepkit.search.record_tree import close_tree_with_rule, open_tree
from stepkit.search.rollout_tree import Asking, RolloutTree
from stepkit.search.scheduler import Strategy
from stepkit.search.self_evaluation import SelfEvaluationScorer

Score = Callable[[int], float]


class VisitStatistics:
    """N and Q of the nodes so far: sums over the simulations that went through them."""

    def __init__(self, tree: Tree, weight: float = 0.0) -> None:
        self.visits: dict[int, int] = {}
        self._tree = tree
        self._weight = weight
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
class MctsPlan:
    """How a search goes.

    Attributes:
        simulations: how many; exactly so many, but for a budget that ends it earlier.
        width: next steps drawn at depth 0, 1, ...; the last number is for all below.
        exploration: c.
        puct: by PUCT, else by UCT.
        weight: how much the opinion of a step counts in Q, 0 to 1.
        prior: P by opinions, else by the policy's own probabilities.
        within: asked before every expansion whether there is room for so many draws.
    """

    simulations: int
    width: Sequence[int]
    exploration: float
    puct: bool = False
    weight: float = 0.0
    prior: bool = False
    within: Within = lambda count=1: True


def mcts(growth: RolloutTree, plan: MctsPlan, judge: PrmGuide | None = None) -> Asking:
    """Search by ``plan``; the leaves of the simulations become the tree's ``visits``.

    Args:
        judge: asked for opinions of new steps, where the plan goes by them.
    """
    tree = growth.tree
    tree["visits"] = []
    seen = VisitStatistics(tree, plan.weight)
    children: dict[int, list[int]] = {}
    opinions: dict[int, float] = {}
    prior = partial(_likely, tree) if not plan.prior else opinions.__getitem__
    score = partial(_puct, prior) if plan.puct else _uct
    while (left := plan.simulations - len(tree["visits"])) > 0:
        node, depth = ROOT, 0
        while siblings := children.get(node):
            node = max(siblings, key=score(seen, siblings, plan.exploration))
            depth += 1
        if growth.ended(node):
            seen.back_up(node, opinions.get(node, 0.0))
            continue
        width = plan.width[min(depth, len(plan.width) - 1)]
        if not plan.within(width + (min(width, left) if plan.weight < 1 else 0)):
            break
        steps = yield from growth.drawn(growth.fresh(node, width, whole=False))
        children[node] = sorted(distinct(growth, steps))
        fresh = children[node][:left]
        if judge is not None:
            opinions |= zip(steps, (yield from judge.chances(steps)), strict=True)
        leaves = yield from _simulated(growth, fresh, plan.weight < 1)
        for step, leaf in zip(fresh, leaves, strict=True):
            seen.back_up(leaf, opinions.get(step, 0.0))


def _simulated(growth: RolloutTree, steps: Sequence[int], by_draws: bool) -> Asking:
    """The leaf of each step's simulation: a remainder drawn there, or the step itself where the
    attempt ended or nothing is drawn."""
    going_on = [step for step in steps if by_draws and not growth.ended(step)]
    places = [growth.fresh(step, 1, whole=True)[0] for step in going_on]
    leaves = dict(zip(going_on, (yield from growth.drawn(places)), strict=True))
    return [leaves.get(step, step) for step in steps]


def _likely(tree: Tree, step: int) -> float:
    """Probability of a step's tokens, per token. Raises DataError where it is not known."""
    logprob = tree["logprob"][step]
    if logprob is None:
        raise DataError(
            "PUCT goes by the probabilities of steps, and these are not known (some servers do "
            "not tell): use --select uct, or --prior score with --prm",
            f"tree.logprob[{step}]",
        )
    return exp(logprob / max(1, tree["tokens"][step]))


def _uct(seen: VisitStatistics, siblings: Sequence[int], c: float) -> Score:
    above = log(sum(seen.visits.get(child, 0) for child in siblings))
    return lambda child: seen.q(child) + c * sqrt(above / seen.visits[child])


def _puct(likely: Score, seen: VisitStatistics, siblings: Sequence[int], c: float) -> Score:
    above = sqrt(sum(seen.visits.get(child, 0) for child in siblings))
    total = sum(map(likely, siblings)) or 1.0
    return lambda child: (
        seen.q(child) + c * likely(child) / total * above / (1 + seen.visits[child])
    )


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    options, guidance = setup.options, setup.guidance
    weight = options["score_weight"]
    if guidance is None and (weight := options["self_weight"]):
        guidance = PrmSource(SelfEvaluationScorer(setup.sampler), "self")
    growth = open_tree(setup, data, ids=True, graded=weight < 1)
    plan = MctsPlan(
        options["searches"],
        options["width"],
        options["exploration"],
        options["select"] == "puct",
        weight,
        options["prior"] == "score",
        growth.spent.within(options),
    )
    if guidance is None:
        yield from mcts(growth, plan)
        return close_tree_with_rule(growth, data)
    guide = PrmGuide(guidance, growth, data, options["aggregate"])
    yield from mcts(growth, plan, guide)
    return close_guided_tree(growth, guide, data, {"by": "mcts"})
