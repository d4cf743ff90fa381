"""A model's confidence in the steps that it reads: their log-probability, and similar measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from stepkit.core.confidence import GROUP, MEASURES, measure_steps, token_spans
from stepkit.core.response_tokens import LOGPROBS, SIZES, measured_tokens
from stepkit.model.engine import LOGPROB_DIGITS, DistributionSummary, Read
from stepkit.model.prefixes import Prefixes
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores
from stepkit.seeds import digest
from stepkit.text.token_cuts import TextTokens


class LikelihoodScorer:
    """A Scorer (see __init__.py) by one of the measures of core/confidence.py.

    A token belongs to the step that holds its first byte; a step that holds none has no score.
    Over the bytes of a text (see engine.Readout) only those count with which a token starts.

    Args:
        keep_tokens: put the log-probability of every token into the entry, rounded to
            LOGPROB_DIGITS (core/response_tokens.py).
        model: name of the model among several (model/multi_engine.py).
        by: name of the measure. A server answers those of log-probabilities only.
        group: tokens of a group, for the measures of groups.
    """

    of = "confidence"

    def __init__(
        self,
        prefixes: Prefixes,
        meta: Mapping[str, Any],
        keep_tokens: bool = False,
        model: str = "",
        by: str = "logprob",
        group: int = GROUP,
    ) -> None:
        self.meta = meta
        self._prefixes = prefixes
        self._keep_tokens = keep_tokens
        self._model = model
        self._measure, self._group = MEASURES[by], group
        self._summary = self._measure.reads != "logprob"
        self._column = DistributionSummary._fields.index(self._measure.reads)

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        prompt = self._prefixes.prompt(record)
        response = self._prefixes.response({**record, "response": "".join(steps)})
        if not response:
            return self._scored(steps, [], 0)
        ids = prompt + response
        positions = tuple(range(len(prompt) - 1, len(ids) - 1))
        what = ("summary",) if self._summary else ()
        key = digest("read", ids, positions, *what, size=12)
        (readout,) = yield [Read(key, ids, positions, model=self._model, summary=self._summary)]
        ends = self._prefixes.ends(response)
        starts = [0, *ends[:-1]]
        read = [(at, row) for at, row in zip(starts, readout.values, strict=True) if row]
        return self._scored(steps, read, ends[-1])

    def _scored(
        self, steps: Sequence[str], read: Sequence[tuple[int, Sequence[float]]], end: int
    ) -> TraceScores:
        """Scores from the byte at which each token starts and the numbers read there."""
        starts = [start for start, _ in read]
        values = [row[self._column] for _, row in read]
        x, total = measure_steps(self._measure, values, token_spans(steps, starts), self._group)
        kept: dict[str, Any] = {}
        if self._keep_tokens:
            kept[SIZES] = [after - start for start, after in pairwise([*starts, end])]
            kept[LOGPROBS] = [round(row[0], LOGPROB_DIGITS) for _, row in read]
        return TraceScores(x, total, kept)


class StoredLikelihoodScorer:
    """A Scorer (see __init__.py) by what was kept at each token when the trace was drawn; it sends
    no requests. Tokens of a prefix that was not drawn have nothing and do not count.

    Args:
        by: name of the measure.
        group: tokens of a group, for the measures of groups.
    """

    of = "confidence"

    def __init__(self, meta: Mapping[str, Any], by: str = "logprob", group: int = GROUP) -> None:
        self.meta = meta
        self._measure, self._group = MEASURES[by], group

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        yield from ()
        values, spans = _drawn(measured_tokens(record, self._measure.reads), steps)
        x, total = measure_steps(self._measure, values, spans, self._group)
        return TraceScores(x, total)


def _drawn(tokens: TextTokens, steps: Sequence[str]) -> tuple[list[float], list[tuple[int, int]]]:
    """The known numbers, and the range of them that belongs to each step."""
    known, start = [], 0
    for size, value in zip(tokens.size, tokens.logprob, strict=True):
        if value is not None:
            known.append((start, value))
        start += size
    return [value for _, value in known], token_spans(steps, [at for at, _ in known])
