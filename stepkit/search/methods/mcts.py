"""Monte Carlo tree search over steps, with UCT or PUCT.

Every search goes down from the root by the highest

    UCT:  Q + c sqrt(ln N(parent) / N)           (Kocsis and Szepesvari 2006)
    PUCT: Q + c P sqrt(N(parent)) / (1 + N)      (AlphaMath, arXiv 2405.03553, section 3.2)

to a step without children and draws ``width`` next steps there; then each new step is simulated by
one whole continuation, and the outcomes are backed up. Q is the share of right ones among the
decided simulations through a step, N counts all of them, and P is the step's probability per token,
exp(sum of log-probabilities / tokens), divided by the sum over its siblings.

With a weight w each new step also has a score from 0 to 1, and Q becomes (1 - w) Q + w C, where C
is the mean score over the simulations through a step. The score is the policy's self-evaluation
(MCTS-DPO, arXiv 2405.00451, section 3.1, which adds the two) or a PRM's (AlphaMath, section 3.2,
mixes its value model in like this). With w = 1, which is AlphaMath's search for answers, no
continuations are drawn, the scores alone guide the search, and no answer is needed. The PRM can
also be the prior: P is then the score of a step divided by the sum over its siblings.

Where this differs: all ``width`` new steps are simulated, because their draws share a batch and
training rows are made of siblings with values. Equal siblings are one candidate, the first; the
others stay in the tree. An undecided simulation counts in N and not in Q; a step without a decided
simulation has its parent's Q. Going to a step that ended the attempt repeats its outcome and draws
nothing; it counts as a simulation. The score of a step that was cut off is 0.

``tree.visits`` holds the node that each simulation ended at, in order, ``tree.scores`` the scores,
those of self-evaluation as ``self``, and ``tree.search`` the weight: N and Q are a replay of them
(core/search_values.py), and so is the whole search, from the tree or the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp, log, sqrt

from stepkit.core.tree import Tree
from stepkit.core.visit_statistics import VisitStatistics
from stepkit.errors import DataError
from stepkit.schema import ROOT, Json
from stepkit.search.candidate_steps import distinct
from stepkit.search.method_setup import MethodSetup, PrmSource
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree
from stepkit.search.record_budget import Within
from stepkit.search.record_tree import close_tree_with_rule, open_tree
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import Strategy
from stepkit.search.self_evaluation import SelfEvaluationScorer

NodeFunction = Callable[[int], float]


@dataclass(frozen=True)
class MctsPlan:
    """The settings of a search.

    Attributes:
        simulations: exactly so many, unless the budget ends the search earlier.
        width: next steps drawn at depth 0, 1, ...; the last number is for all greater depths.
        exploration: c.
        puct: select by PUCT, else by UCT.
        weight: w, the weight of scores in Q, 0 to 1.
        scores_as_prior: P by scores, else by the policy's own probabilities.
        within: whether the budget has room for the draws of an expansion.
    """

    simulations: int
    width: Sequence[int]
    exploration: float
    puct: bool = False
    weight: float = 0.0
    scores_as_prior: bool = False
    within: Within = lambda count=1: True


def mcts(rollouts: RolloutTree, plan: MctsPlan, guide: PrmGuide | None = None) -> Strategy[None]:
    """Search by ``plan``; the leaves of the simulations become the tree's ``visits``.

    Args:
        guide: scores new steps, where the plan uses scores.
    """
    tree = rollouts.tree
    tree["visits"] = []
    statistics = VisitStatistics(tree, plan.weight)
    children: dict[int, list[int]] = {}
    scores: dict[int, float] = {}
    prior = scores.__getitem__ if plan.scores_as_prior else partial(_probability, tree)
    select_by = partial(_puct, prior) if plan.puct else _uct
    while (left := plan.simulations - len(tree["visits"])) > 0:
        node, depth = ROOT, 0
        while siblings := children.get(node):
            node = max(siblings, key=select_by(statistics, siblings, plan.exploration))
            depth += 1
        if rollouts.is_terminal(node):
            tree["visits"].append(node)
            statistics.back_up(node, scores.get(node, 0.0))
            continue
        width = plan.width[min(depth, len(plan.width) - 1)]
        if not plan.within(width + (min(width, left) if plan.weight < 1 else 0)):
            break
        steps = yield from rollouts.draw(rollouts.next_places(node, width, whole=False))
        children[node] = sorted(distinct(rollouts, steps))
        fresh = children[node][:left]
        if guide is not None:
            scores |= zip(steps, (yield from guide.probabilities(steps)), strict=True)
        leaves = yield from _simulated(rollouts, fresh, plan.weight < 1)
        for step, leaf in zip(fresh, leaves, strict=True):
            tree["visits"].append(leaf)
            statistics.back_up(leaf, scores.get(step, 0.0))


def _simulated(rollouts: RolloutTree, steps: Sequence[int], by_draws: bool) -> Strategy[list[int]]:
    """The leaf of each step's simulation: a continuation drawn there, or the step itself where the
    attempt ended or nothing is drawn."""
    going_on = [step for step in steps if by_draws and not rollouts.is_terminal(step)]
    places = [rollouts.next_places(step, 1, whole=True)[0] for step in going_on]
    leaves = dict(zip(going_on, (yield from rollouts.draw(places)), strict=True))
    return [leaves.get(step, step) for step in steps]


def _probability(tree: Tree, step: int) -> float:
    """Probability of a step's tokens, per token. Raises DataError where it is not known."""
    logprob = tree["logprob"][step]
    if logprob is None:
        raise DataError(
            "PUCT goes by the probabilities of steps, and these are not known (some servers do "
            "not tell): use --select uct, or --prior score with --prm",
            f"tree.logprob[{step}]",
        )
    return exp(logprob / max(1, tree["tokens"][step]))


def _uct(statistics: VisitStatistics, siblings: Sequence[int], c: float) -> NodeFunction:
    log_parent = log(sum(statistics.visits.get(child, 0) for child in siblings))
    return lambda child: statistics.q(child) + c * sqrt(log_parent / statistics.visits[child])


def _puct(
    prior: NodeFunction, statistics: VisitStatistics, siblings: Sequence[int], c: float
) -> NodeFunction:
    root_parent = sqrt(sum(statistics.visits.get(child, 0) for child in siblings))
    total = sum(map(prior, siblings)) or 1.0
    return lambda child: (
        statistics.q(child)
        + c * prior(child) / total * root_parent / (1 + statistics.visits[child])
    )


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    options, guidance = setup.options, setup.guidance
    weight = options["self_weight" if guidance is None else "score_weight"]
    if guidance is None and weight:
        guidance = PrmSource(SelfEvaluationScorer(setup.sampler), "self")
    rollouts = open_tree(setup, record, ids=True, graded=weight < 1)
    plan = MctsPlan(
        options["searches"],
        options["width"],
        options["exploration"],
        options["select"] == "puct",
        weight,
        options["prior"] == "score",
        rollouts.spent.within(options),
    )
    if guidance is None:
        yield from mcts(rollouts, plan)
        rollouts.tree.pop("search", None)  # an earlier search's, which did not make these visits
        return close_tree_with_rule(rollouts, record)
    guide = PrmGuide(guidance, rollouts, record, options["aggregate"])
    yield from mcts(rollouts, plan, guide)
    return close_guided_tree(rollouts, guide, record, {"by": "mcts", "weight": weight})
