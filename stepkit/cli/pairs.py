"""step-pairs: evidence in, rows for a preference trainer out. Needs no model."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from stepkit.cli.escapes import TEXT
from stepkit.core import pairs
from stepkit.errors import DataError, UsageError
from stepkit.formats import trainers
from stepkit.options import command, reads, writes
from stepkit.run import Result, Streams, blocks

if TYPE_CHECKING:
    from stepkit.jsonl import Record


@command("step-pairs")
@click.option(
    "--to",
    type=click.Choice(list(trainers.TRAINERS)),
    default="trl-dpo",
    show_default=True,
    help="The trainer that reads the rows.",
)
@click.option(
    "--rule",
    type=click.Choice(pairs.RULES),
    default="best-worst",
    show_default=True,
    help="Which two of the rivals at a step make a pair.",
)
@click.option(
    "--scope",
    type=click.Choice(pairs.SCOPES),
    default="continuation",
    show_default=True,
    help="The step and the rest of an attempt, the step alone, or the whole attempt.",
)
@click.option(
    "--prompt",
    metavar="TEXT",
    type=TEXT,
    default=trainers.DEFAULT_PROMPT.replace("\n", "\\n"),
    show_default=True,
    help="What stands before the first step; {problem} is the problem, \\n a new line.",
)
@click.option(
    "--at",
    metavar="LABEL",
    help="The label with the first wrong step, for --rule first-error (default: first, else hard).",
)
@click.option(
    "--min-gap",
    metavar="G",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Least difference of the two values (ties are never a pair).",
)
@click.option(
    "--min-probability",
    metavar="P",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Least chance, by the counts, that chosen is really better.",
)
@click.option(
    "--max-pairs",
    metavar="N",
    type=click.IntRange(min=1),
    help="At most N pairs of a trace, the widest gaps first.",
)
@click.option(
    "--sampler",
    metavar="ID|INDEX",
    help="Whose draws count, where several samplers drew.",
)
@reads
@writes
def main(
    streams: Streams,
    to: str,
    rule: str,
    scope: str,
    prompt: str,
    at: str | None,
    min_gap: float,
    min_probability: float,
    max_pairs: int | None,
    sampler: str | None,
) -> None:
    """Pair the steps of traces with their rivals drawn from the same prefix.

    \b
      step-pairs evidence.jsonl -o dpo.jsonl
      step-label evidence.jsonl | step-pairs --rule first-error --min-probability 0.9
    """
    if at is not None and rule != "first-error":
        raise UsageError("--at has no effect without --rule first-error")
    if trainers.PROBLEM not in prompt:
        raise UsageError(f"--prompt: no {trainers.PROBLEM} in it")
    layout = trainers.Layout(prompt, scope, rule)
    settings = pairs.Settings(rule, scope, at, sampler, min_gap, min_probability, max_pairs)
    row = trainers.TRAINERS[to].row
    dropped: Counter[str] = Counter()
    is_new = _Siblings().is_new

    def rows(record: Record, found: pairs.Found | DataError) -> Result:
        from stepkit.jsonl import Record

        if isinstance(found, DataError):
            return found
        try:
            made = [row(pair, record.data, layout) for pair in found.pairs]
            written = [Record.new(one, record.place) for one in made if is_new(one)]
        except DataError as error:
            return error
        dropped.update(found.dropped)
        dropped["already made"] += len(made) - len(written)
        return written

    def block(records: list[Record]) -> list[Result]:
        found = pairs.find([record.data for record in records], settings)
        return [rows(*one) for one in zip(records, found, strict=True)]

    tally = blocks(streams, block)
    used = tally.read - tally.rejected
    reasons = ", ".join(f"{count} {why}" for why, count in dropped.most_common() if count)
    summary = f"{tally.written} pairs of {used} traces" + (f"; not: {reasons}" if reasons else "")
    if used and not tally.written:
        streams.warn(summary)
    else:
        streams.note(summary)


class _Siblings:
    """Remembers the rows of one group.

    Attempts at one problem share their draws from the prefixes that they share, and so would make
    the same pairs again. Only the current group is remembered: memory stays small.
    """

    def __init__(self) -> None:
        self._group = ""
        self._ids: set[str] = set()

    def is_new(self, row: dict[str, Any]) -> bool:
        """True for the first row with these texts among adjacent traces of a group."""
        if row["group"] != self._group:
            self._group = row["group"]
            self._ids.clear()
        known = row["id"] in self._ids
        self._ids.add(row["id"])
        return not known
