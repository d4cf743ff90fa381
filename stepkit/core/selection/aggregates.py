"""One number for an attempt from the scores of its steps.

Over p_1 .. p_T, the scores of the model's own steps:

* ``min``, ``mean``, ``last``, ``max``, ``sum``;
* ``product``, from logarithms, so that a thousand steps do not vanish (PRM800K, Lightman et al.,
  arXiv:2305.20050);
* ``logits``: the sum of log(p / (1 - p)), with p kept within 1e-7 of 0 and 1, since a score that
  was rounded to 1 is not certain;
* ``soft-min:t=T``: sum of softmax(-p / T)_i p_i, between the mean and the minimum (PURE, Cheng et
  al., arXiv:2504.15275, with T = 0.1);
* ``window:size=W,of=mean|min``: of the last W steps;
* ``hierarchical``: the mean of two levels, single steps and each two consecutive steps read as one
  (``consecutive`` next to ``x``). A hierarchical reward model (Wang et al., arXiv:2503.13551) is
  trained on both; the paper gives no formula that joins them, so the levels weigh the same;
* ``total``: the score of the whole attempt.

The last two read more of a score than ``x`` (see candidates.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from math import exp, fsum, inf, isfinite, log, log1p
from typing import Any, NamedTuple

NEAREST = 1e-7
"""The nearest that a probability comes to 0 and 1 where its odds are taken."""


class Aggregate(NamedTuple):
    """One number for an attempt.

    ``log`` is kept for products only, where the value may underflow; -inf when a step scored 0.
    """

    value: float
    log: float | None = None

    @property
    def order(self) -> float:
        """What attempts are compared by."""
        return self.value if self.log is None else self.log


AggregateFunction = Callable[[Sequence[float]], float]
"""Scores to what attempts are compared by: Aggregate.order."""


def log_odds(p: float) -> float:
    """log(p / (1 - p)), finite."""
    p = min(max(p, NEAREST), 1 - NEAREST)
    return log(p) - log1p(-p)


def _min(scores: Sequence[float]) -> float:
    return float(min(scores))


def _max(scores: Sequence[float]) -> float:
    return float(max(scores))


def _last(scores: Sequence[float]) -> float:
    return float(scores[-1])


def _mean(scores: Sequence[float]) -> float:
    return fsum(scores) / len(scores)


def _product(scores: Sequence[float]) -> float:
    _check_probabilities(scores, "a product")
    return fsum(log(score) if score else -inf for score in scores)


def _logits(scores: Sequence[float]) -> float:
    _check_probabilities(scores, "a sum of log-odds")
    return fsum(map(log_odds, scores))


def _soft_min(scores: Sequence[float], t: float) -> float:
    low = min(scores)
    weights = [exp((low - score) / t) for score in scores]
    return fsum(w * score for w, score in zip(weights, scores, strict=True)) / fsum(weights)


def _window(scores: Sequence[float], size: int, of: str) -> float:
    return {"mean": _mean, "min": _min}[of](scores[-size:])


def _check_probabilities(scores: Sequence[float], what: str) -> None:
    if not all(0 <= score <= 1 for score in scores):
        raise ValueError(f"{what} needs scores from 0 to 1")


AGGREGATE_FUNCTIONS: Mapping[str, tuple[Callable[..., float], Mapping[str, Any]]] = {
    "min": (_min, {}),
    "product": (_product, {}),
    "mean": (_mean, {}),
    "last": (_last, {}),
    "max": (_max, {}),
    "sum": (fsum, {}),
    "logits": (_logits, {}),
    "soft-min": (_soft_min, {"t": 0.1}),
    "window": (_window, {"size": 3, "of": "mean"}),
    "hierarchical": (_mean, {}),
    "total": (_mean, {}),
}
"""Name -> its function, and its parameters with their defaults."""

AGGREGATES = tuple(AGGREGATE_FUNCTIONS)

LOGARITHM = "product"
"""The one whose order is the logarithm of its value."""

OF_PROBABILITIES = frozenset({"product", "logits"})
"""These take scores from 0 to 1 only, and no raw ones."""

UNBOUNDED = frozenset({"sum", "logits"})
"""These leave the range of their scores, and cannot be summed as votes."""


def summable(how: str, by: str) -> bool:
    """May the vote ``by`` weigh attempts by it? Log-odds are what log-weighted sums the odds of."""
    name = name_of(how)
    return name not in UNBOUNDED or (by, name) == ("log-weighted", "logits")


def odds_of(order: float, how: str) -> float:
    """The log-odds of an aggregate, from what attempts are compared by.

    Args:
        order: Aggregate.order of the aggregate ``how``, which is ``logits`` or from 0 to 1; -inf
            without one.
    """
    if name_of(how) == "logits" or order == -inf:
        return order
    if name_of(how) == LOGARITHM:
        return order - log1p(-min(exp(order), 1 - NEAREST))
    return log_odds(order)


def aggregate(scores: Sequence[float], how: str) -> Aggregate:
    """One number from the scores of the steps (at least one).

    Args:
        how: one of AGGREGATES, with parameters if need be: ``window:size=5``.

    Raises ValueError for scores that it is not made for, and for a ``how`` that is none.
    """
    return aggregate_of(aggregate_function(how)(scores), name_of(how) == LOGARITHM)


def aggregate_of(order: float, is_log: bool) -> Aggregate:
    """The aggregate of this order."""
    return Aggregate(exp(order), order) if is_log else Aggregate(order)


def name_of(how: str) -> str:
    """The name in ``how``, without the parameters."""
    return how.partition(":")[0]


@lru_cache(64)
def aggregate_function(how: str) -> AggregateFunction:
    """The function that ``how`` means. Raises ValueError saying what is wrong with it."""
    name, _, rest = how.partition(":")
    if name not in AGGREGATE_FUNCTIONS:
        raise ValueError(f"expected one of {', '.join(AGGREGATE_FUNCTIONS)}")
    function, defaults = AGGREGATE_FUNCTIONS[name]
    given = {}
    for part in rest.split(",") if ":" in how else ():
        key, _, value = part.partition("=")
        if key not in defaults:
            takes = ", ".join(defaults) or "no parameters"
            raise ValueError(f'{name} has no parameter "{key}"; it takes {takes}')
        given[key] = _PARAMETERS[key](value)
    return partial(function, **{**defaults, **given}) if defaults else function


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (isfinite(value) and value > 0):
        raise ValueError("t: expected a number above 0")
    return value


def _window_size(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError("size: expected a number from 1 up")
    return int(text)


def _mean_or_min(text: str) -> str:
    if text not in ("mean", "min"):
        raise ValueError("of: expected mean or min")
    return text


_PARAMETERS: Mapping[str, Callable[[str], Any]] = {
    "t": _temperature,
    "size": _window_size,
    "of": _mean_or_min,
}
