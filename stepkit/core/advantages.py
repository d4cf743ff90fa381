"""Credit of steps from the values between them: GAE and lambda-returns. Plain sequences of numbers.

A trace of T steps visits the states s_0 (the root) .. s_T; step t leads from s_t to s_{t+1}. The
only reward is the verdict R, given by the last step, and s_T has no future. ``values`` holds
V(s_0) .. V(s_{T-1}) and, last, R itself.
"""

from __future__ import annotations

from collections.abc import Sequence

Number = float | None


def gae(values: Sequence[Number], gamma: float, lam: float) -> list[Number]:
    """Generalised advantage estimates (Schulman et al., arXiv:1506.02438, eq. 16).

    ``A_t = sum_l (gamma lambda)^l delta_{t+l}`` with ``delta_t = r_t + gamma V(s_{t+1}) - V(s_t)``.
    With gamma = lambda = 1 it is R - V(s_t); with lambda = 0 and gamma = 1 it is the progress.

    Args:
        values: [n_steps + 1] as above; None where unknown.

    Returns [n_steps] advantages; None wherever a value that it needs is unknown.
    """
    returns = lambda_returns(values, gamma, lam)
    return [
        None if target is None or before is None else target - before
        for target, before in zip(returns, values[:-1], strict=False)
    ]


def lambda_returns(values: Sequence[Number], gamma: float, lam: float) -> list[Number]:
    """Lambda-returns, the targets that a value model is trained towards (Sutton and Barto, 12.1).

    ``G_t = r_t + gamma ((1 - lambda) V(s_{t+1}) + lambda G_{t+1})``; the advantage is G_t - V(s_t).
    The last step's is R, undiscounted: the reward comes with the step.

    Args:
        values: [n_steps + 1] as above; None where unknown.

    Returns [n_steps + 1] targets of s_0 .. s_T, that of s_T being R; None where a value that it
    needs is unknown (with lambda = 1 only R is needed, with 0 only the next value).
    """
    targets: list[Number] = [None for _ in values]
    if values:
        targets[-1] = values[-1]
    if len(values) > 1:
        targets[-2] = values[-1]
    for t in reversed(range(len(values) - 2)):
        bootstrap = _weighted(1 - lam, values[t + 1])
        onward = _weighted(lam, targets[t + 1])
        if bootstrap is not None and onward is not None:
            targets[t] = gamma * (bootstrap + onward)
    return targets


def _weighted(weight: float, number: Number) -> Number:
    """The product, 0 for a weight of 0 even where the number is unknown."""
    if weight == 0:
        return 0.0
    return None if number is None else weight * number
