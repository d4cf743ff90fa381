"""An external program that checks every step: a proof checker, a unit test, a linter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from stepkit import schema
from stepkit.core.trace import assistant_steps
from stepkit.model.engine import Draw, Sampling
from stepkit.schema import Json
from stepkit.search.record_tree import RESPONSE_FIELDS
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores
from stepkit.seeds import digest

HIDDEN_FIELDS = {"id", "group", "response", *RESPONSE_FIELDS, schema.VERSION_KEY}
"""Fields that a checker does not get: what it is to judge, other judgements, and what comes
later."""
AT_ONCE = 64
"""Steps of a trace that are checked at the same time."""


class ProgramScorer:
    """A Scorer (see __init__.py) that asks a program about each step, given the prefix before it.

    A step's number is the program's verdict: 1 right, 0 wrong, or between; None where it cannot
    tell or failed. Steps that are not the model's own are not checked. ``first`` is the first step
    with less than a half, -1 where there is none, None where a step before it has no number.

    Args:
        model: name of its engine (model/checkers/program_engine.py) among several
            (model/multi_engine.py).
    """

    of = "validity"

    def __init__(self, meta: Mapping[str, Any], model: str = "") -> None:
        self.meta = meta
        self._model = model

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        own = assistant_steps(record, len(steps))
        checked = [step for step in range(first, len(steps)) if own[step]]
        x: list[float | None] = [None] * len(steps)
        why: list[str | None] = [None] * len(steps)
        shown = {key: value for key, value in record.items() if key not in HIDDEN_FIELDS}
        for start in range(0, len(checked), AT_ONCE):
            chosen = checked[start : start + AT_ONCE]
            draws = yield [self._request(shown, steps, step) for step in chosen]
            for step, draw in zip(chosen, draws, strict=True):
                verdict = json.loads(draw.text)
                x[step], why[step] = verdict["x"], verdict["why"]
        return TraceScores(x, more={"first": _first(x, checked), "why": why})

    def _request(self, shown: Json, steps: Sequence[str], step: int) -> Draw:
        question = {**shown, "index": step, "prefix": "".join(steps[:step]), "step": steps[step]}
        text = json.dumps(question).encode()
        # bytes are a sequence of ids, as in model/servers/byte_vocabulary.py, and an eighth of a
        # tuple's size
        prefix = cast("tuple[int, ...]", text)
        return Draw(digest("check", text, size=12), prefix, 0, Sampling(), model=self._model)


def _first(x: Sequence[float | None], checked: Sequence[int]) -> int | None:
    for step in checked:
        number = x[step]
        if number is None:
            return None
        if number < 0.5:
            return step
    return -1
