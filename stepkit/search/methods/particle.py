"""Particle filtering over steps: attempts multiply where a PRM scores them high.

Puri et al. (arXiv 2502.01618, section 3): N particles each draw a next step; a step's reward, taken
for a likelihood, weights its particle, and N are resampled in proportion to the weights, so that
the search follows the policy's own distribution weighted by the rewards instead of the best scores
alone. As in the authors' code (its_hub) the logarithm of a weight is the logit of the score, over a
temperature, and an attempt that ended stays among the particles.

With odds(s) = s / (1 - s), the target distribution is proportional to

    the policy's probability of an attempt  x  odds of its aggregate ** (1 / temperature),

where the odds of a ``product`` are the product of all steps' odds (the target of the paper, in
which every step has a likelihood), and those of ``last`` are the last step's alone, which does not
favour attempts of many steps. A particle's weight in a round is the factor by which its odds have
grown, so that the factors multiply to the target; an attempt that ended has no further factor,
while in its_hub its last reward counts again in every round in which others still go on.

It differs further: weights are carried over without resampling while their effective number
(sum w)**2 / sum w**2 is at least ``ess`` times N (1, the default, resamples in every round as the
paper does); the systematic scheme, with one random number a round, varies less than the multinomial
one of the paper; a particle that was cut off has weight 0. The random numbers are made of the
sampler, the problem and the round.

``tree.search`` holds the nodes of the last particles with the logarithms of their weights, the
effective number in each round, and the logarithm of the estimate of the normaliser, the mean of the
odds under the policy alone; the estimate itself has no bias.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import exp, fsum, inf, log
from random import Random

from stepkit.schema import ROOT, Json
from stepkit.search.method_setup import MethodSetup
from stepkit.search.prm_guidance import PrmGuide, close_guided_tree, open_guided_tree
from stepkit.search.record_budget import Within
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import Strategy
from stepkit.seeds import digest, seed


@dataclass(frozen=True)
class ParticlePlan:
    """The settings of the particle filter.

    Attributes:
        particles: N.
        rounds: the most steps of an attempt.
        within: whether the budget has room for the draws of a round.
        temperature: by which log-odds are divided.
        ess: resample when the effective number is below this share of N; 1 is always.
        scheme: "systematic" or "multinomial".
        random: the random numbers of a round.
    """

    particles: int
    rounds: int
    within: Within
    temperature: float
    ess: float
    scheme: str
    random: Callable[[int], Random]


def particle(rollouts: RolloutTree, guide: PrmGuide, plan: ParticlePlan) -> Strategy[Json]:
    """Move the particles until all have ended; returns the fields of ``tree.search``."""
    count = plan.particles
    nodes, logs = [ROOT] * count, [0.0] * count
    log_odds = {ROOT: 0.0}  # of each prefix, over the temperature
    effective: list[float] = []
    log_mean, stopped = 0.0, "rounds"
    for depth in range(plan.rounds):
        going = [i for i in range(count) if not rollouts.is_terminal(nodes[i]) and logs[i] > -inf]
        if not going or not plan.within(len(going)):
            stopped = "budget" if going else "ended"
            break
        places = [rollouts.next_places(nodes[i], 1, whole=False)[0] for i in going]
        steps = yield from rollouts.draw(places)
        yield from guide.values_of(steps)
        for i, step in zip(going, steps, strict=True):
            cut_off = rollouts.tree["finish"][step] == "length"
            log_odds[step] = -inf if cut_off else guide.log_odds(step) / plan.temperature
            logs[i] += log_odds[step] - log_odds[nodes[i]]
            nodes[i] = step
        weights = _relative_weights(logs)
        effective.append(round(_effective(weights), 3))
        if not any(weights):
            stopped = "lost"
            break
        if plan.ess >= 1 or effective[-1] < plan.ess * count:
            log_mean += _log_mean(logs)
            chosen = resampled(weights, plan.scheme, plan.random(depth))
            nodes, logs = [nodes[i] for i in chosen], [0.0] * count
    return {
        "particles": nodes,
        "log_weights": [_finite(one) for one in logs],
        "effective": effective,
        "log_normaliser": _finite(log_mean + _log_mean(logs)),
        "stopped": stopped,
    }


def resampled(weights: Sequence[float], scheme: str, random: Random) -> list[int]:
    """The indices of the next N particles, each as often as its share of the weights on average.

    A point from 0 to 1 chooses the particle whose share of the total it falls into; systematic:
    the N points (u + j) / N, j = 0 .. N - 1, of one uniform u; multinomial: N independent uniforms.
    """
    count, ends = len(weights), list(accumulate(weights))
    if scheme == "systematic":
        u = random.random()
        points = [(u + j) / count for j in range(count)]
    else:
        points = [random.random() for _ in range(count)]
    last = max(i for i, weight in enumerate(weights) if weight)
    return [min(bisect_right(ends, point * ends[-1]), last) for point in points]


def _relative_weights(logs: Sequence[float]) -> list[float]:
    """Weights from their logarithms, divided by the largest."""
    top = max(logs)
    return [exp(one - top) if top > -inf else 0.0 for one in logs]


def _log_mean(logs: Sequence[float]) -> float:
    """The logarithm of the mean weight."""
    top = max(logs)
    return top + log(fsum(_relative_weights(logs)) / len(logs)) if top > -inf else top


def _effective(weights: Sequence[float]) -> float:
    """The effective number of particles."""
    squares = fsum(weight * weight for weight in weights)
    return fsum(weights) ** 2 / squares if squares else 0.0


def _finite(value: float) -> float | None:
    return value if value > -inf else None


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    rollouts, guide = open_guided_tree(setup, record)
    options = setup.options
    problem = digest("prefix", rollouts.prefix_ids(ROOT))
    plan = ParticlePlan(
        options["draws"],
        options["searches"],
        rollouts.spent.within(options),
        options["weight_temperature"],
        options["ess"],
        options["resample"],
        lambda depth: Random(seed("resample", setup.sampler.id, problem, depth)),
    )
    search = yield from particle(rollouts, guide, plan)
    return close_guided_tree(rollouts, guide, record, {"by": "particle", **search})
