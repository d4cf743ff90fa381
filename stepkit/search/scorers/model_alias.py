"""A scorer whose model is one of several in the process (model/multi_engine.py).

Every scorer names the models that it asks as if it were alone with them; here each gets the name
that it has among all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stepkit.model.engine import Draw, Read
from stepkit.model.multi_engine import name_in_group
from stepkit.schema import Json
from stepkit.search.scheduler import AttemptRequest, StrategyRequest
from stepkit.search.scorers import Asking, Scorer, TraceScores


class AliasedScorer:
    """A Scorer (see __init__.py) that asks as ``scorer`` does, of the models under ``name``."""

    def __init__(self, scorer: Scorer, name: str) -> None:
        self.of, self.meta = scorer.of, scorer.meta
        self._scorer, self._name = scorer, name

    def score(self, data: Json, steps: Sequence[str], first: int = 0) -> Asking[TraceScores]:
        scoring = self._scorer.score(data, steps, first)
        answers: Sequence[Any] | None = None
        while True:
            try:
                asks = scoring.send(answers)  # type: ignore[arg-type]
            except StopIteration as end:
                return end.value
            answers = yield [self._renamed(ask) for ask in asks]

    def _renamed(self, ask: StrategyRequest) -> StrategyRequest:
        if isinstance(ask, AttemptRequest):
            request = replace(ask.request, model=name_in_group(self._name, ask.request.model))
            return replace(ask, request=request)
        if isinstance(ask, (Draw, Read)):
            return replace(ask, model=name_in_group(self._name, ask.model))
        return ask
