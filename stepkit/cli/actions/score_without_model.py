"""Scores that need no model: from a record to its scores, without an engine and a journal."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from stepkit.cli.actions.record_fields import stamped
from stepkit.errors import DataError, UsageError
from stepkit.runner import options, run

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.search.scorers import Scorer, TraceScores

STREAMS = ("files", "limit", "shard", "on_error", "rejects", "output", "quiet", "verbose", "name")
"""Parameters that have an effect whatever scores."""


def refuse_others(way: str, used: Collection[str]) -> None:
    """Raise UsageError when an option of this command was given that is not among ``used``."""
    for name, option in options.on_command_line().items():
        if name not in used and name not in STREAMS:
            raise UsageError(f"{option} has no effect with {way}")


def score_alone(streams: run.StreamOptions, key: str, scorer: Scorer, by: str) -> None:
    """Write what a scorer that asks nothing says of every record."""

    def scored(record: Record) -> list[Record]:
        scoring = scorer.score(record.data, steps_of(record))
        try:
            next(scoring)
        except StopIteration as end:
            return [with_scores(record, key, scorer, by, end.value)]
        raise RuntimeError("a scorer without an engine asked something")

    run.blocks(streams, run.each(scored))


def steps_of(record: Record) -> list[str]:
    """The steps. Raises DataError when there are none."""
    from stepkit import schema

    steps = schema.steps(record.data)
    if not steps:
        raise DataError("no steps to score", "response")
    return steps


def with_scores(record: Record, key: str, scorer: Scorer, by: str, scored: TraceScores) -> Record:
    """The record with its entry ``key`` in ``scores``."""
    entry: dict[str, Any] = {"of": scorer.of, "by": by, "x": scored.x}
    if scored.total is not None:
        entry["total"] = scored.total
    record.merge("scores", {key: {**entry, **scored.more, "meta": scorer.meta}})
    return stamped(record)
