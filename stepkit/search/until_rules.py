"""The questions of ``--until``: names, parameters, defaults.

search/methods/chain.py and search/methods/bisect.py explain what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stepkit.errors import UsageError


class ParameterBounds(NamedTuple):
    """A parameter: its default, and the bounds between which it must lie."""

    default: float
    low: float
    high: float


RATE = (0.0, 1.0)

QUESTIONS: Mapping[str, Mapping[str, ParameterBounds]] = {
    "first-success": {},
    "hard": {"value": ParameterBounds(0.1, *RATE), "error": ParameterBounds(0.05, *RATE)},
    "wilson": {"half": ParameterBounds(0.1, *RATE), "z": ParameterBounds(1.96, 0.0, 10.0)},
    "drop": {
        "rho": ParameterBounds(0.5, *RATE),
        "ratio": ParameterBounds(2.0, 1.0, 100.0),
        "error": ParameterBounds(0.05, *RATE),
        "root": ParameterBounds(32, 0, 1025),
    },
    "posterior": {"chance": ParameterBounds(0.9, *RATE)},
    "progress": {"odds": ParameterBounds(3.0, 1.0, 1e6), "error": ParameterBounds(0.05, *RATE)},
}

MOST: Mapping[str, int] = {"wilson": 128, "drop": 64, "progress": 64, "posterior": 32}
"""Most draws from a prefix without ``-k``: what the tests mostly need, and some more."""


def parse_question(text: str) -> dict[str, Any]:
    """``NAME[:PARAMETER=VALUE,...]`` with its defaults. Raises UsageError."""
    name, _, parameters = text.partition(":")
    if name not in QUESTIONS:
        raise UsageError(f"--until {text}: expected one of {', '.join(QUESTIONS)}")
    bounds = QUESTIONS[name]
    question: dict[str, Any] = {"name": name}
    question |= {key: bound.default for key, bound in bounds.items()}
    for part in filter(None, parameters.split(",")):
        key, _, value = part.partition("=")
        if key not in bounds:
            known = f"its parameters are {', '.join(bounds)}" if bounds else "it has none"
            raise UsageError(f'--until {text}: no parameter "{key}"; {known}')
        question[key] = _number(text, key, value, bounds[key])
    return question


def _number(text: str, key: str, value: str, bound: ParameterBounds) -> float:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not bound.low < number < bound.high:
        expected = f"a number between {bound.low:g} and {bound.high:g}"
        raise UsageError(f"--until {text}: {key}: expected {expected}")
    return number
