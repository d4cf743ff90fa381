"""A token-logit process reward model: the positive candidate's share at every step's marker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepkit.model.profiles.reader import ProfileReader
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores
from stepkit.search.scorers.profile_reads import read_request, trace_scores, values_read


class TokenLogitScorer:
    """A Scorer (see __init__.py) that reads a trace in one pass.

    Args:
        model: name of the model among several (model/multi_engine.py).
    """

    def __init__(self, reader: ProfileReader, meta: Mapping[str, Any], model: str = "") -> None:
        self.of = reader.profile.of
        self.meta = meta
        self._reader = reader
        self._model = model

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        laid = self._reader.layout(record, steps)
        (readout,) = yield [read_request(laid, first, self._reader.candidates, self._model)]
        numbers = map(self._reader.score, values_read(laid, first, readout))
        return trace_scores(self._reader.profile, steps, numbers)
