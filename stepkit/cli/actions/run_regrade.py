"""step-rollout --regrade: outcomes from stored text, without a model."""

from __future__ import annotations

from stepkit import schema
from stepkit.cli.options.answer_reading import (
    ANSWER_PARAMETERS,
    AnswerOptions,
    UnansweredCount,
    take_answer,
)
from stepkit.io.jsonl import Record
from stepkit.runner import options, run
from stepkit.text.answers import FoundAnswer

WITH_EFFECT = {"regrade", "jobs", *ANSWER_PARAMETERS}


def regrade(streams: run.StreamOptions, jobs: int, answers: AnswerOptions) -> None:
    """Judge every record again. Raises UsageError for an option that has no effect."""
    options.refuse_idle_options(WITH_EFFECT, "with --regrade, which draws nothing")
    from stepkit.cli.actions.record_fields import with_fields
    from stepkit.grade import Grader
    from stepkit.search.regrade import regraded

    total = 0
    read = answers.reader()
    unanswered = UnansweredCount("attempts and draws")
    with Grader(jobs) as grader:

        def again(record: Record) -> list[Record]:
            nonlocal total
            take_answer(record, answers.field)
            name = schema.id_of(record.data)

            def counted(text: str) -> FoundAnswer:
                found = read(text)
                unanswered.add(name, found.answer is not None)
                return found

            fields, changed = regraded(record.data, grader.grade, counted)
            total += changed
            return [with_fields(record, fields)]

        run.blocks(streams, run.each(again))
        if unanswered.missing:
            streams.warn(unanswered.note())
        if note := grader.note():
            streams.warn(note)
    streams.note(f"{total} outcomes are others than before")
