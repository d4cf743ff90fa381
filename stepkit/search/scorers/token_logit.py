"""A token-logit process reward model: the positive candidate's share at every step's marker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepkit.model.engine import Read
from stepkit.model.profiles.reader import Reader
from stepkit.search.scorers import Asking, Json, Scored
from stepkit.seeds import digest


class TokenLogit:
    """A Scorer (see __init__.py) that reads a trace in one pass.

    Args:
        model: name of the model among several (model/several.py).
    """

    def __init__(self, reader: Reader, meta: Mapping[str, Any], model: str = "") -> None:
        self.of = reader.profile.of
        self.meta = meta
        self._reader = reader
        self._model = model

    def score(self, data: Json, steps: Sequence[str], first: int = 0) -> Asking[Scored]:
        laid = self._reader.layout(data, steps)
        wanted = laid.positions[first:]
        candidates = self._reader.candidates
        key = digest("read", laid.ids, list(wanted), candidates, size=12)
        (readout,) = yield [Read(key, laid.ids, wanted, candidates, self._model)]
        return Scored([None] * first + [self._reader.score(logits) for logits in readout.values])
