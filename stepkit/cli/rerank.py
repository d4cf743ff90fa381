"""step-rerank: groups of scored attempts in, one choice a group out. Needs no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stepkit import schema
from stepkit.core import selection
from stepkit.errors import DataError, UsageError
from stepkit.options import command, grouped, reads, writes
from stepkit.run import Streams, groups

if TYPE_CHECKING:
    from stepkit.jsonl import Record


@command("step-rerank")
@click.option(
    "--by",
    type=click.Choice(selection.METHODS),
    default="best",
    show_default=True,
    help="The best attempt, the most frequent answer, or the answer with the most score.",
)
@click.option(
    "--aggregate",
    type=click.Choice(selection.AGGREGATES),
    help="How the scores of the steps become one number (default: min).",
)
@click.option("--score", metavar="NAME", help="The score to use (default: the only one there).")
@click.option("--all", "everyone", is_flag=True, help="Keep every attempt, with its rank.")
@grouped
@reads
@writes
def main(
    streams: Streams, by: str, aggregate: str | None, score: str | None, everyone: bool
) -> None:
    """Choose one of the attempts at each problem, by the scores of its steps or by vote.

    \b
      step-score --prm prm.gguf attempts.jsonl | step-rerank
      step-rerank --by weighted --aggregate product scored.jsonl
      step-rerank --by majority attempts.jsonl
    """
    if by == "majority" and (aggregate or score):
        option = "--aggregate" if aggregate else "--score"
        raise UsageError(f"{option} has no effect with --by majority: it looks at no score")
    settings = selection.Settings(by, aggregate or "min", score)

    def group(records: list[Record]) -> list[Record]:
        from stepkit.grade import same_answer

        candidates = []
        for record in records:
            try:
                candidates.append(selection.candidate(record.data, settings))
            except DataError as error:
                raise error.at(record.place) from None
        notes = selection.choose(candidates, settings, same_answer)
        chosen = []
        for record, note in zip(records, notes, strict=True):
            if everyone or note["rank"] == 0:
                record.set("choice", note)
                if schema.VERSION_KEY not in record.data:
                    record.set(schema.VERSION_KEY, schema.VERSION)
                chosen.append(record)
        return chosen

    groups(streams, group)
