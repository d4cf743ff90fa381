"""step-score --judge pairs: the attempts of each group compared two by two."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from stepkit.cli.actions.group_session import GroupWork, run_groups
from stepkit.cli.actions.record_fields import with_version
from stepkit.errors import UsageError
from stepkit.runner.run import StreamOptions

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.model.backend import Backend
    from stepkit.model.engine import Engine
    from stepkit.search.scheduler import Strategy
    from stepkit.search.scorers.pairwise import PairwiseJudge


def compare_attempts(
    judge: PairwiseJudge,
    backend: Backend,
    streams: StreamOptions,
    name: str,
    open_engine: Callable[[Backend, dict[str, Any]], Engine],
) -> None:
    """Write into the records of each group which attempt of each two is better.

    Args:
        name: name of the entries in ``verdicts`` and ``scores``.
        open_engine: opens the engine, given the backend and the values that decide its answers.

    Raises UsageError with --limit, which would cut a group short.
    """
    if streams.limit is not None:
        raise UsageError("--limit cuts a group short: not with --judge pairs")

    def strategy(records: list[Record]) -> Strategy:
        return judge.compare([record.data for record in records])

    def write(records: list[Record], verdicts: list[list[dict[str, Any]]]) -> None:
        for record, own in zip(records, verdicts, strict=True):
            _write_verdicts(record, name, judge, own)

    deciding = {**judge.meta, **backend.build}
    work = GroupWork(streams, partial(open_engine, backend, deciding), strategy, write)
    run_groups(work, {"scorer": name, **deciding})


def _write_verdicts(
    record: Record, name: str, judge: PairwiseJudge, verdicts: list[dict[str, Any]]
) -> None:
    from stepkit import schema

    record.merge("verdicts", {name: verdicts})
    known = [verdict["p"] for verdict in verdicts]
    no_scores = [None] * len(schema.steps(record.data))
    entry: dict[str, Any] = {"of": "raw", "by": "scorer", "x": no_scores, "n": len(known)}
    if known:
        entry["total"] = sum(known) / len(known)
    record.merge("scores", {name: {**entry, "meta": judge.meta}})
    with_version(record)
