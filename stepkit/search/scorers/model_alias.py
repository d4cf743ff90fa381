"""A scorer whose model is one of several in the process (model/multi_engine.py).

Every scorer names its models as if there were no others; here each request gets the name that its
model has among all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stepkit.model.engine import Draw, Read
from stepkit.model.multi_engine import name_in_group
from stepkit.schema import Json
from stepkit.search.scheduler import AttemptRequest, Strategy, StrategyRequest
from stepkit.search.scorers import Scorer, TraceScores


class AliasedScorer:
    """A Scorer (see __init__.py) that sends the requests of ``scorer`` to the models under
    ``name``."""

    def __init__(self, scorer: Scorer, name: str) -> None:
        self.of, self.meta = scorer.of, scorer.meta
        self._scorer, self._name = scorer, name

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        scoring = self._scorer.score(record, steps, first)
        results: Sequence[Any] | None = None
        while True:
            try:
                requests = scoring.send(results)  # type: ignore[arg-type]
            except StopIteration as end:
                return end.value
            results = yield [self._renamed(request) for request in requests]

    def _renamed(self, request: StrategyRequest) -> StrategyRequest:
        if isinstance(request, AttemptRequest):
            draw = request.request
            draw = replace(draw, model=name_in_group(self._name, draw.model))
            return replace(request, request=draw)
        if isinstance(request, (Draw, Read)):
            return replace(request, model=name_in_group(self._name, request.model))
        return request
