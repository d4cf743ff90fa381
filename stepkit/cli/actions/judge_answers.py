"""step-score --judge answer: a model's verdict on answers that the grader left undecided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from stepkit import schema
from stepkit.cli.actions.record_fields import with_version

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.model.backend import Backend
    from stepkit.model.engine import Engine
    from stepkit.runner.run import StreamOptions
    from stepkit.search.scheduler import Strategy
    from stepkit.search.scorers.answer_judge import AnswerJudge, AnswerVotes

Outcome: TypeAlias = "AnswerVotes | str"
"""The vote on a record, or why it is not asked about."""

WORDS = {True: "same", False: "different", None: "undecided"}


def judge_answers(
    judge: AnswerJudge,
    backend: Backend,
    streams: StreamOptions,
    name: str,
    open_engine: Callable[[Backend, dict[str, Any]], Engine],
) -> None:
    """Decide ``correct`` where it is null; other records pass through untouched, and are counted.

    Args:
        name: name of the entries in ``verdicts``.
        open_engine: opens the engine, given the backend and the values that decide its answers.
    """
    from stepkit.cli.actions.session import SessionWork, run_strategies

    votes: Counter[bool | None] = Counter()
    passed: Counter[str] = Counter()

    def strategy(record: Record) -> Strategy[Outcome]:
        reason = why_not_asked(record.data)
        return reason if reason else (yield from judge.judge(record.data))

    def write(record: Record, outcome: Outcome) -> list[Record]:
        if isinstance(outcome, str):
            passed[outcome] += 1
            return [record]
        votes[outcome.same] += 1
        return [_with_verdict(record, name, judge, outcome)]

    deciding = {**judge.meta, **backend.build}
    work = SessionWork(streams, partial(open_engine, backend, deciding), strategy, write)
    run_strategies(work, {"scorer": name, **deciding})
    tell = streams.warn if passed else streams.note
    tell(_summary(votes, passed))


def why_not_asked(data: schema.Json) -> str:
    """Why a record is no question for a judge; "" where it is one. Raises DataError."""
    if schema.correct_of(data) is not None:
        return "decided already"
    if "correct" not in data:
        return "not graded (step-split --grade)"
    if not schema.optional_text(data, "final"):
        return "without a final answer"
    return "" if schema.answer_of(data) else "without a reference answer"


def _with_verdict(record: Record, name: str, judge: AnswerJudge, votes: AnswerVotes) -> Record:
    entry = {"by": "judge", **asdict(votes), "meta": judge.meta}
    record.merge("verdicts", {name: entry})
    if votes.same is not None:
        record.set("correct", votes.same)
    return with_version(record)


def _summary(votes: Counter[bool | None], passed: Counter[str]) -> str:
    judged = ", ".join(f"{votes[same]} {word}" for same, word in WORDS.items())
    records = votes.total() + passed.total()
    asked = f"asked about {votes.total()} of {records} records: {judged}"
    others = ", ".join(f"{count} {reason}" for reason, count in passed.items())
    return f"{asked}; not asked: {others}" if others else asked
