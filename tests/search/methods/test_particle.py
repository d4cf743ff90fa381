"""Particle filtering, on worlds whose target distribution is known by enumeration."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from math import exp, floor, log, sqrt
from random import Random
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Given, Known, WorldEngine, path, search

from stepkit.core.tree import Tree
from stepkit.search.methods.particle import resampled

F = Fraction
WHOLE = F(1)

WORLD = Given(
    {
        "": {"a\n": F(1, 2), "b\n": F(1, 3), "Answer: 1": F(1, 6)},
        "a\n": {"c\n": F(1, 4), "Answer: 1": F(3, 4)},
        "b\n": {"c\n": F(2, 3), "Answer: 0": F(1, 3)},
        "a\nc\n": {"Answer: 1": F(1, 5), "Answer: 0": F(4, 5)},
        "b\nc\n": {"Answer: 1": F(1)},
    }
)
"""Attempts of one, two and three steps."""

SCORES = {
    **{"a\n": 0.3, "b\n": 0.7, "Answer: 1": 0.6, "a\nc\n": 0.9, "a\nAnswer: 1": 0.2},
    **{"b\nc\n": 0.5, "b\nAnswer: 0": 0.4, "a\ncAnswer: 1": 0.5, "b\nc\nAnswer: 1": 0.8},
    **{"a\nc\nAnswer: 1": 0.95, "a\nc\nAnswer: 0": 0.25},
}


def attempts(given: str = "", chance: Fraction = WHOLE) -> dict[str, Fraction]:
    """Every attempt of the world with its chance."""
    found: dict[str, Fraction] = {}
    for move in WORLD.moves(given):
        after, both = given + move.step, chance * move.chance
        found |= {after: both} if move.ends else attempts(after, both)
    return found


def odds(text: str, aggregate: str) -> float:
    lines = text.splitlines(keepends=True)
    scores = [SCORES["".join(lines[: count + 1])] for count in range(len(lines))]
    if aggregate == "product":
        product = 1.0
        for score in scores:
            product *= score / (1 - score)
        return product
    score = scores[-1] if aggregate == "last" else min(scores)
    return score / (1 - score)


def target(aggregate: str, temperature: float) -> dict[str, float]:
    """The policy's chance of each attempt times its odds: not normalised."""
    return {
        text: float(chance) * odds(text, aggregate) ** (1 / temperature)
        for text, chance in attempts().items()
    }


def filtered(seed: int, **options: Any) -> Tree:
    return search(WORLD, "particle", seed=seed, scorer=Known(SCORES.__getitem__), **options)


def shares(tree: Tree) -> dict[str, float]:
    """What the particles of one run say of each attempt, times the estimate of the normaliser."""
    about = tree["search"]
    weights = [exp(one) for one in about["log_weights"]]
    found: dict[str, float] = defaultdict(float)
    for node, weight in zip(about["particles"], weights, strict=True):
        found[path(tree, node)] += weight / sum(weights) * exp(about["log_normaliser"])
    return dict(found)


CASES = [
    ("last", 1.0, 1.0, "systematic"),
    ("last", 2.0, 0.5, "systematic"),
    ("product", 1.0, 1.0, "multinomial"),
    ("product", 1.0, 0.6, "multinomial"),
    ("min", 1.0, 0.0, "systematic"),
]


@pytest.mark.parametrize(("aggregate", "temperature", "ess", "scheme"), CASES)
def test_estimates_have_no_bias(
    aggregate: str, temperature: float, ess: float, scheme: str
) -> None:
    """Over 600 runs of four particles the normaliser, and the mass of every attempt, are right on
    average: within four standard errors. So few particles would show any bias."""
    assert sum(attempts().values()) == 1
    truth = target(aggregate, temperature)
    options = {"aggregate": aggregate, "weight_temperature": temperature, "ess": ess}
    runs = [shares(filtered(seed, draws=4, resample=scheme, **options)) for seed in range(600)]
    totals = [sum(run.values()) for run in runs]
    assert abs(fmean(totals) - sum(truth.values())) < 4 * stdev(totals) / sqrt(len(runs))
    for text, mass in truth.items():
        found = [run.get(text, 0.0) for run in runs]
        assert abs(fmean(found) - mass) < 4 * stdev(found) / sqrt(len(runs)), text


@pytest.mark.parametrize("aggregate", ["last", "product"])
def test_many_particles_follow_the_target(aggregate: str) -> None:
    """Of 3,000 particles every attempt has its share of the target, within 0.03."""
    truth = target(aggregate, 1.0)
    found = shares(filtered(1, draws=3000, aggregate=aggregate))
    for text, mass in truth.items():
        share = found.get(text, 0.0) / sum(found.values())
        assert abs(share - mass / sum(truth.values())) < 0.03, text


@given(
    weights=st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1)), min_size=1, max_size=12),
    seed=st.integers(0, 10**6),
)
def test_systematic_resampling_gives_each_its_share_rounded(
    weights: list[float], seed: int
) -> None:
    if not any(weights):
        weights[0] = 1.0
    count = Counter(resampled(weights, "systematic", Random(seed)))
    for index, weight in enumerate(weights):
        share = len(weights) * weight / sum(weights)
        assert floor(share - 1e-9) <= count[index] <= floor(share + 1e-9) + 1
        assert weight or not count[index]
    assert sum(count.values()) == len(weights)


@pytest.mark.parametrize("scheme", ["systematic", "multinomial"])
def test_resampling_has_no_bias(scheme: str) -> None:
    """Mean counts of 4,000 draws, within four standard errors of N times the weight."""
    weights, chance, runs = [0.5, 0.0, 1.7, 0.1, 0.7], Random(5), 4000
    drawn = [Counter(resampled(weights, scheme, chance)) for _ in range(runs)]
    for index, weight in enumerate(weights):
        found = [float(count[index]) for count in drawn]
        expected = len(weights) * weight / sum(weights)
        assert abs(fmean(found) - expected) <= 4 * stdev(found) / sqrt(runs)


def test_equal_weights_leave_every_particle_where_it_is() -> None:
    for seed in range(50):
        assert resampled([0.3] * 7, "systematic", Random(seed)) == list(range(7))


def test_the_effective_number_decides_whether_to_draw_again() -> None:
    """With ess 0 nothing is ever drawn again: weights are the odds of the attempts themselves."""
    tree = filtered(2, draws=12, ess=0.0)
    about = tree["search"]
    assert len(set(about["particles"])) == 12
    for node, weight in zip(about["particles"], about["log_weights"], strict=True):
        assert weight == pytest.approx(log(odds(path(tree, node), "last")))
    weights = [exp(one) for one in about["log_weights"]]
    effective = sum(weights) ** 2 / sum(weight**2 for weight in weights)
    assert about["effective"][-1] == pytest.approx(effective, abs=1e-3)
    again = filtered(2, draws=12)["search"]
    assert again["log_weights"] == [0.0] * 12


def test_the_same_seed_moves_the_same_particles() -> None:
    trees = [
        search(
            WORLD, "particle", engine=WorldEngine(WORLD, order), scorer=Known(SCORES.__getitem__)
        )
        for order in (1, 2)
    ]
    assert trees[0] == trees[1]
    assert filtered(3)["search"]["particles"] != filtered(4)["search"]["particles"]


def test_particles_that_are_cut_off_are_lost() -> None:
    tree = search(WORLD, "particle", scorer=Known(lambda text: 0.5), draws=8, max_tokens=1)
    assert set(tree["finish"][1:]) == {"length"}
    about = tree["search"]
    assert about["stopped"] == "lost" and about["chosen"] is None
    assert about["log_normaliser"] is None and about["log_weights"] == [None] * 8
