"""step-rollout --regrade: outcomes from stored text, without a model."""

from __future__ import annotations

from stepkit.io.jsonl import Record
from stepkit.runner import options, run


def regrade(streams: run.StreamOptions, jobs: int) -> None:
    """Judge every record again. Raises UsageError for an option that has no effect."""
    options.refuse_idle_options({"regrade", "jobs"}, "with --regrade, which draws nothing")
    from stepkit.cli.actions.record_fields import with_fields
    from stepkit.grade import Grader
    from stepkit.search.regrade import regraded

    total = 0
    with Grader(jobs) as grader:

        def again(record: Record) -> list[Record]:
            nonlocal total
            fields, changed = regraded(record.data, grader.grade)
            total += changed
            return [with_fields(record, fields)]

        run.blocks(streams, run.each(again))
        if note := grader.note():
            streams.warn(note)
    streams.note(f"{total} outcomes are others than before")
