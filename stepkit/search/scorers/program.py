"""An external program that checks every step: a proof checker, a unit test, a linter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from stepkit import schema
from stepkit.core.trace import assistant_steps
from stepkit.model.engine import Draw, Sampling
from stepkit.schema import Json
from stepkit.search.scorers import Asking, TraceScores
from stepkit.seeds import digest

OURS = {
    *("id", "group", "response", "steps", "role", "tree", "labels", "scores", "verdicts", "choice"),
    *("sample", "split", "origin", "final", "correct", schema.VERSION_KEY),
}
"""Fields that a checker does not see: what it is to judge, what others said, what comes later."""
AT_ONCE = 64
"""Steps of a trace that are in work together."""


class ProgramScorer:
    """A Scorer (see __init__.py) that asks a program about each step, given what stands before it.

    A step's number is what the program says of it: 1 right, 0 wrong, or between; None where it
    cannot tell or failed. Steps that are not the model's own are not checked. ``first`` is the
    first step with less than a half, -1 where there is none, None behind a step without a number.

    Args:
        model: name of its engine (model/checkers/program_engine.py) among several
            (model/multi_engine.py).
    """

    of = "validity"

    def __init__(self, meta: Mapping[str, Any], model: str = "") -> None:
        self.meta = meta
        self._model = model

    def score(self, data: Json, steps: Sequence[str], first: int = 0) -> Asking[TraceScores]:
        own = assistant_steps(data, len(steps))
        wanted = [step for step in range(first, len(steps)) if own[step]]
        x: list[float | None] = [None] * len(steps)
        why: list[str | None] = [None] * len(steps)
        about = {key: value for key, value in data.items() if key not in OURS}
        for begin in range(0, len(wanted), AT_ONCE):
            chosen = wanted[begin : begin + AT_ONCE]
            answers = yield [self._ask(about, steps, step) for step in chosen]
            for step, drawn in zip(chosen, answers, strict=True):
                said = json.loads(drawn.text)
                x[step], why[step] = said["x"], said["why"]
        return TraceScores(x, more={"first": _first(x, wanted), "why": why})

    def _ask(self, about: Json, steps: Sequence[str], step: int) -> Draw:
        given = {**about, "index": step, "prefix": "".join(steps[:step]), "step": steps[step]}
        text = json.dumps(given).encode()
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
