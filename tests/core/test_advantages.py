"""GAE and lambda-returns against the sums that define them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from stepkit.core.advantages import gae, lambda_returns

rates = some.floats(0, 1)


def deltas(values: list[float], gamma: float) -> list[float]:
    """Temporal differences: the reward comes with the last step, after which there is nothing."""
    *states, verdict = values
    following = [*states[1:], 0.0]
    rewards = [0.0] * (len(states) - 1) + [verdict]
    return [
        r + gamma * after - before
        for r, before, after in zip(rewards, states, following, strict=True)
    ]


@given(some.lists(rates, min_size=2, max_size=8), rates, rates)
def test_gae_is_the_sum_of_discounted_differences(
    values: list[float], gamma: float, lam: float
) -> None:
    found = gae(values, gamma, lam)
    delta = deltas(values, gamma)
    for t in range(len(delta)):
        expected = sum((gamma * lam) ** l * delta[t + l] for l in range(len(delta) - t))  # noqa: E741
        assert found[t] == pytest.approx(expected, abs=1e-12)


@given(some.lists(rates, min_size=2, max_size=8), rates, rates)
def test_lambda_return_is_the_weighted_mean_of_n_step_returns(
    values: list[float], gamma: float, lam: float
) -> None:
    """(1 - lambda) sum_n lambda^(n-1) G^(n), all weight that is left on the full return."""
    *states, verdict = values
    steps = len(states)
    found = lambda_returns(values, gamma, lam)
    for t in range(steps):
        full = gamma ** (steps - t - 1) * verdict
        expected = lam ** (steps - t - 1) * full
        for n in range(1, steps - t):
            expected += (1 - lam) * lam ** (n - 1) * gamma**n * states[t + n]
        assert found[t] == pytest.approx(expected, abs=1e-12)
    assert found[steps] == verdict


def test_the_two_ends_of_lambda() -> None:
    values = [0.5, 0.75, 0.25, 1.0]
    assert gae(values, 1.0, 0.0) == [0.25, -0.5, 0.75]  # the progress
    assert gae(values, 1.0, 1.0) == [0.5, 0.25, 0.75]  # the verdict less the value


def test_unknown_values_spread_only_as_far_as_they_are_needed() -> None:
    values = [0.5, None, 0.25, 1.0]
    assert lambda_returns(values, 1.0, 1.0) == [1.0, 1.0, 1.0, 1.0]
    assert gae(values, 1.0, 1.0) == [0.5, None, 0.75]
    assert lambda_returns(values, 1.0, 0.0) == [None, 0.25, 1.0, 1.0]
    assert gae(values, 1.0, 0.5) == [None, None, 0.75]
    assert lambda_returns([0.5, 0.5, None], 1.0, 0.0) == [0.5, None, None]
    assert lambda_returns([0.5], 1.0, 0.9) == [0.5] and gae([0.5], 1.0, 0.9) == []
