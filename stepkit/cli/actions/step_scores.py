"""Scores of the steps in a record: which steps there are to score, and where the scores go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepkit.cli.actions.record_fields import with_version
from stepkit.errors import DataError
from stepkit.runner import run

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.search.scorers import Scorer, TraceScores


def score_without_engine(streams: run.StreamOptions, key: str, scorer: Scorer, by: str) -> None:
    """Write the scores of a scorer that sends no requests into every record, under ``key``."""

    def scored(record: Record) -> list[Record]:
        scoring = scorer.score(record.data, steps_of(record))
        try:
            next(scoring)
        except StopIteration as end:
            return [with_scores(record, key, scorer, by, end.value)]
        raise RuntimeError("a scorer without an engine sent a request")

    run.blocks(streams, run.each(scored))


def steps_of(record: Record) -> list[str]:
    """The steps. Raises DataError when there are none."""
    from stepkit import schema

    steps = schema.steps(record.data)
    if not steps:
        raise DataError("no steps to score", "response")
    return steps


def with_scores(record: Record, key: str, scorer: Scorer, by: str, scores: TraceScores) -> Record:
    """The record with ``scores`` as its entry ``key`` of the field of that name."""
    entry: dict[str, Any] = {"of": scorer.of, "by": by, "x": scores.x}
    if scores.total is not None:
        entry["total"] = scores.total
    record.merge("scores", {key: {**entry, **scores.more, "meta": scorer.meta}})
    return with_version(record)
