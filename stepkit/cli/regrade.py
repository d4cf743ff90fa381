"""step-rollout --regrade: outcomes from stored text, without a model."""

from __future__ import annotations

import click

from stepkit import run
from stepkit.errors import UsageError
from stepkit.jsonl import Record

USED = {
    *("regrade", "jobs", "files", "limit", "shard", "on_error", "rejects"),
    *("output", "quiet", "verbose"),
}
"""Options that have an effect beside --regrade."""


def check_alone(context: click.Context) -> None:
    """Raise UsageError when an option is given that has no effect."""
    for option in context.command.params:
        name = option.name or ""
        source = context.get_parameter_source(name)
        if name not in USED and source is click.core.ParameterSource.COMMANDLINE:
            raise UsageError(f"{option.opts[-1]} has no effect with --regrade, which draws nothing")


def regrade(streams: run.Streams, jobs: int) -> None:
    """Judge every record again."""
    from stepkit.cli.writing import with_fields
    from stepkit.grade import Grader
    from stepkit.search.regrading import regraded

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
