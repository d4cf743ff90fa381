"""Particle filtering over steps: attempts multiply where a scorer believes in them.

Puri et al. (arXiv 2502.01618, section 3): N particles each draw a next step; a step's reward, taken
for a likelihood, weights its particle, and N are drawn again in proportion to the weights, so that
the search follows the policy's own distribution weighted by the rewards instead of the best scores
alone. As in the authors' code (its_hub) the logarithm of a weight is the logit of the score, over a
temperature, and an attempt that ended stays among the particles.

With odds(s) = s / (1 - s), what is drawn from in the end is

    the policy's chance of an attempt  x  odds of its aggregate ** (1 / temperature),

where the odds of a ``product`` are the product of all steps' odds (the target of the paper, whose
every step has a likelihood), and those of ``last`` are the last step's alone, which does not favour
attempts of many steps. A particle's weight in a round is by how much its odds have grown, so that
the factors multiply to just that; an attempt that ended has no further factor, while in its_hub its
last reward counts again in every round in which others still go on.

Where this differs besides: weights are carried over, and nothing is drawn again, while their
effective number (sum w)**2 / sum w**2 is at least ``ess`` times N (1, the default, draws again in
every round as the paper does); the systematic scheme, with one random number a round, varies less
than the multinomial one of the paper; a particle that was cut off has weight 0. The random numbers
are made of the sampler, the problem and the round.

``tree.search`` holds the nodes of the last particles with the logarithms of their weights, the
effective number in each round, and the logarithm of the estimate of the normaliser, which is the
mean of the odds under the policy alone; of that the estimate itself has no bias.
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
from stepkit.search.rollout_tree import Asking, RolloutTree
from stepkit.search.scheduler import Strategy
from stepkit.seeds import digest, seed


@dataclass(frozen=True)
class ParticlePlan:
    """How particles move.

    Attributes:
        particles: N.
        rounds: at most so many steps.
        within: asked before every round for the room that it needs.
        temperature: what logarithms of odds are divided by.
        ess: draw again when the effective number is below this share of N; 1 is always.
        scheme: "systematic" or "multinomial".
        chance: the random numbers of a round.
    """

    particles: int
    rounds: int
    within: Within
    temperature: float
    ess: float
    scheme: str
    chance: Callable[[int], Random]


def particle(growth: RolloutTree, guide: PrmGuide, plan: ParticlePlan) -> Asking:
    """Move the particles until all have ended; returns what to note of it."""
    count = plan.particles
    nodes, logs = [ROOT] * count, [0.0] * count
    gained = {ROOT: 0.0}  # log odds so far, over the temperature
    effective: list[float] = []
    log_mean, stopped = 0.0, "rounds"
    for depth in range(plan.rounds):
        going = [i for i in range(count) if not growth.ended(nodes[i]) and logs[i] > -inf]
        if not going or not plan.within(len(going)):
            stopped = "budget" if going else "ended"
            break
        places = [growth.fresh(nodes[i], 1, whole=False)[0] for i in going]
        steps = yield from growth.drawn(places)
        yield from guide.scored(steps)
        for i, step in zip(going, steps, strict=True):
            cut_off = growth.tree["finish"][step] == "length"
            gained[step] = -inf if cut_off else guide.log_odds(step) / plan.temperature
            logs[i] += gained[step] - gained[nodes[i]]
            nodes[i] = step
        weights = _over(logs)
        effective.append(round(_effective(weights), 3))
        if not any(weights):
            stopped = "lost"
            break
        if plan.ess >= 1 or effective[-1] < plan.ess * count:
            log_mean += _log_mean(logs)
            again = resampled(weights, plan.scheme, plan.chance(depth))
            nodes, logs = [nodes[i] for i in again], [0.0] * count
    weighted = [None if one == -inf else one for one in logs]
    return {
        **{"particles": nodes, "log_weights": weighted, "effective": effective},
        **{"log_normaliser": _finite(log_mean + _log_mean(logs)), "stopped": stopped},
    }


def resampled(weights: Sequence[float], scheme: str, chance: Random) -> list[int]:
    """Which of N to go on with, N of them, each as often as its weight says on average.

    systematic: the N points (u + j) / N, j = 0 .. N - 1, of one uniform u, each taking whose share
    of the total it falls into; multinomial: N independent uniforms.
    """
    count, ends = len(weights), list(accumulate(weights))
    if scheme == "systematic":
        begin = chance.random()
        points = [(begin + j) / count for j in range(count)]
    else:
        points = [chance.random() for _ in range(count)]
    last = max(i for i, weight in enumerate(weights) if weight)
    return [min(bisect_right(ends, point * ends[-1]), last) for point in points]


def _over(logs: Sequence[float]) -> list[float]:
    """Weights from their logarithms, over the largest."""
    top = max(logs)
    return [exp(one - top) if top > -inf else 0.0 for one in logs]


def _log_mean(logs: Sequence[float]) -> float:
    top = max(logs)
    return top + log(fsum(_over(logs)) / len(logs)) if top > -inf else top


def _effective(weights: Sequence[float]) -> float:
    squares = fsum(weight * weight for weight in weights)
    return fsum(weights) ** 2 / squares if squares else 0.0


def _finite(value: float) -> float | None:
    return value if value > -inf else None


def start(setup: MethodSetup, data: Json) -> Strategy:
    """The strategy for one record (see search/method_registry.py)."""
    growth, guide = open_guided_tree(setup, data)
    options = setup.options
    place = digest("prefix", growth.prefix(ROOT))
    plan = ParticlePlan(
        options["draws"],
        options["searches"],
        growth.spent.within(options),
        options["weight_temperature"],
        options["ess"],
        options["resample"],
        lambda depth: Random(seed("resample", setup.sampler.id, place, depth)),
    )
    about = yield from particle(growth, guide, plan)
    return close_guided_tree(growth, guide, data, {"by": "particle", **about})
