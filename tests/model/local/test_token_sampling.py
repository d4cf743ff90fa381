"""Sampling: the distribution that is drawn from is the one that was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from stepkit.core.jit import jit
from stepkit.model.engine import Sampling
from stepkit.model.local import kernels, token_sampling
from stepkit.model.local.kernels import BLOCK
from stepkit.model.local.token_sampling import TokenSampler, log_softmax_at, uniforms

LOGITS = np.array([[2.0, 1.0, 0.5, 0.0, -1.0, -3.0]], np.float32)


def choose(logits: np.ndarray, chances: np.ndarray, sampling: Sampling) -> np.ndarray:
    return TokenSampler(logits.shape[1])(logits, chances, sampling)[0]


def distribution(sampling: Sampling, logits: np.ndarray = LOGITS, points: int = 20_000) -> list:
    """What choose() really draws: inversion at evenly spread uniforms measures every weight."""
    chances = (np.arange(points) + 0.5) / points
    tokens = choose(np.repeat(logits, points, axis=0), chances, sampling)
    return list(np.bincount(tokens, minlength=logits.shape[1]) / points)


def softmax(values: list[float]) -> list[float]:
    weights = [np.exp(value - max(values)) for value in values]
    return [weight / sum(weights) for weight in weights]


def test_temperature_divides_logits() -> None:
    halved = [value / 0.5 for value in LOGITS[0]]
    assert distribution(Sampling(temperature=0.5)) == pytest.approx(softmax(halved), abs=1e-4)


def test_temperature_zero_is_the_most_probable_token() -> None:
    assert choose(LOGITS, np.array([0.999]), Sampling(temperature=0)).tolist() == [0]


def test_top_k_keeps_k() -> None:
    expected = [*softmax([2.0, 1.0]), 0, 0, 0, 0]
    assert distribution(Sampling(top_k=2)) == pytest.approx(expected, abs=1e-4)


def test_top_p_keeps_the_fewest_that_reach_p() -> None:
    # softmax of LOGITS: .561 .206 .125 .076 .028 .004, so 0.7 needs two tokens, 0.8 three
    two = distribution(Sampling(top_p=0.7))
    three = distribution(Sampling(top_p=0.8))
    assert [share > 0 for share in two] == [True, True, False, False, False, False]
    assert [share > 0 for share in three] == [True, True, True, False, False, False]
    assert three == pytest.approx([*softmax([2.0, 1.0, 0.5]), 0, 0, 0], abs=1e-4)


def test_min_p_is_relative_to_the_best() -> None:
    # weights relative to the best: 1, .368, .223, .135, .050, .007
    shares = distribution(Sampling(min_p=0.2))
    assert [share > 0 for share in shares] == [True, True, True, False, False, False]


def test_temperature_comes_before_the_filters() -> None:
    # at temperature 4 the shares are .26 .20 .18 .16 .12 .07: 0.7 needs four
    shares = distribution(Sampling(temperature=4.0, top_p=0.7))
    assert sum(share > 0 for share in shares) == 4


def test_a_token_of_no_weight_is_never_drawn() -> None:
    logits = np.array([[0.0, -np.inf, 0.0, -np.inf]], np.float32)
    ends = np.array([0.0, 0.5, np.nextafter(1.0, 0.0)])
    tokens = choose(np.repeat(logits, 3, axis=0), ends, Sampling())
    assert tokens.tolist() == [0, 2, 2]


@examples(50)
@given(
    st.integers(2, 300),
    st.integers(2, 9),
    st.integers(0, 2**32 - 1),
    st.sampled_from([Sampling(), Sampling(0.7, 5, 0.9, 0.05), Sampling(0.0)]),
)
def test_a_row_does_not_depend_on_its_mates(
    vocabulary: int, rows: int, seed: int, sampling: Sampling
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (rows, vocabulary)).astype(np.float32)
    chances = rng.random(rows)
    together = choose(logits, chances, sampling)
    alone = [choose(logits[r : r + 1], chances[r : r + 1], sampling)[0] for r in range(rows)]
    assert together.tolist() == alone
    logprobs = log_softmax_at(logits, together)
    apart = [log_softmax_at(logits[r : r + 1], together[r : r + 1])[0] for r in range(rows)]
    assert logprobs.tolist() == apart


def test_logprob_is_the_models_own() -> None:
    logprob = log_softmax_at(LOGITS, np.array([2]))[0]
    assert logprob == pytest.approx(np.log(softmax(list(LOGITS[0]))[2]), abs=1e-6)


@pytest.mark.parametrize(
    "how", [Sampling(), Sampling(0.5, 2, 0.6, 0.2), Sampling(3.0), Sampling(0.0)]
)
def test_chosen_logprobs_know_no_temperature_and_no_filter(how: Sampling) -> None:
    tokens, logprobs = TokenSampler(LOGITS.shape[1])(LOGITS, np.array([0.7]), how)
    own = np.log(softmax(list(LOGITS[0])))
    assert logprobs == pytest.approx(own[tokens], abs=1e-6)
    steered = LOGITS[:, ::-1].copy()
    tokens, logprobs = TokenSampler(LOGITS.shape[1])(steered, np.array([0.7]), how, LOGITS)
    assert logprobs == pytest.approx(own[tokens], abs=1e-6)


def test_exp_is_exp() -> None:
    """Within 2 units in the last place, from 1 down to where weights count as nothing."""
    logits = np.linspace(-100.0, 0.0, 200_001, dtype=np.float32)[None, :]
    weights = np.empty((1, -(-logits.size // BLOCK) * BLOCK), np.float32)
    token_sampling.weigh(logits, logits.max(axis=1), 1.0, weights)
    expected = np.exp(logits.astype(np.float64))
    inside = logits > -87.0
    ulps = np.abs(weights[:, : logits.size] - expected)[inside] / np.spacing(
        expected[inside].astype(np.float32)
    )
    assert ulps.max() <= 2.0
    assert not weights[:, : logits.size][logits < -87.0].any()


@pytest.fixture(scope="module")
def compiled() -> dict[str, jit]:
    """The kernels, compiled whatever there is to do."""
    pairs: dict[str, tuple[Any, Any]] = {
        "_weighed": (kernels.weigh, token_sampling._weigh_with_numpy),
        "_added": (kernels.add_up, token_sampling._add_up_with_numpy),
        "_kept_k": (kernels.keep_top_k, token_sampling._keep_top_k_with_numpy),
        "_kept_p": (kernels.keep_top_p, token_sampling._keep_top_p_with_numpy),
        "_picked": (kernels.pick, token_sampling._pick_with_numpy),
    }
    return {name: jit(kernel, twin, 1) for name, (kernel, twin) in pairs.items()}


@examples(150)
@given(
    st.sampled_from([2, 3, 255, 256, 257, 600, 5000]),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.1, 2.0, 30.0]),
    st.sampled_from(["as drawn", "ties", "half banned", "all equal"]),
    st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    st.sampled_from([0, 1, 5, 300]),
    st.sampled_from([1.0, 0.999, 0.5, 1e-6]),
    st.sampled_from([0.0, 0.05, 1.0]),
)
def test_kernels_and_numpy_give_the_same_bits(
    compiled: dict[str, jit], vocabulary: int, rows: int, seed: int, spread: float, shape: str,
    temperature: float, top_k: int, top_p: float, min_p: float,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (rows, vocabulary)).astype(np.float32)
    if shape == "ties":
        logits = np.round(logits)
    elif shape == "half banned":
        logits[:, 1::2] = -np.inf
    elif shape == "all equal":
        logits[:] = 7.0
    chances = rng.random(rows)
    chances[0] = rng.choice([0.0, np.nextafter(1.0, 0.0), chances[0]])
    how = Sampling(temperature, top_k, top_p, min_p)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPKIT_NO_JIT", "1")
        plain = TokenSampler(vocabulary)(logits, chances, how)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("STEPKIT_NO_JIT", raising=False)
        for name, kernel in compiled.items():
            patch.setattr(token_sampling, name, kernel)
        fast = TokenSampler(vocabulary)(logits, chances, how)
    assert plain[0].tolist() == fast[0].tolist()
    assert plain[1].tobytes() == fast[1].tobytes()
    assert np.isfinite(logits[np.arange(rows), fast[0]]).all()


def test_threads_do_not_change_what_is_chosen() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 3, (64, 50_000)).astype(np.float32)
    chances = rng.random(64)
    many = TokenSampler(50_000, threads=3)
    tokens, logprobs = many(logits, chances, Sampling(top_p=0.9))
    many.close()
    alone = TokenSampler(50_000)(logits, chances, Sampling(top_p=0.9))
    assert (tokens == alone[0]).all() and (logprobs == alone[1]).all()


def test_uniforms_are_splitmix64() -> None:
    # reference outputs of SplitMix64 seeded with 1234567 (Vigna's splitmix64.c), top 53 bits
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    expected = [(value >> 11) / 2**53 for value in published]
    assert uniforms([1234567] * 3, [0, 1, 2]).tolist() == expected


def test_uniforms_fill_the_interval() -> None:
    values = uniforms(np.arange(20_000, dtype=np.uint64) * np.uint64(7919), [3] * 20_000)
    counts, _ = np.histogram(values, bins=20, range=(0, 1))
    statistic = float(((counts - 1000) ** 2 / 1000).sum())
    assert statistic < 43.8  # chi-square, 19 degrees of freedom, 0.1 %
