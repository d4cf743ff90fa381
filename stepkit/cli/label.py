"""step-label: evidence in, labels out. Needs no model; see core/labels.py for the formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stepkit import schema
from stepkit.core import labels, stats
from stepkit.errors import DataError, UsageError
from stepkit.options import command, reads, writes
from stepkit.run import Result, Streams, blocks

if TYPE_CHECKING:
    from stepkit.jsonl import Record


@command("step-label")
@click.option(
    "--label",
    "names",
    multiple=True,
    type=click.Choice(labels.NAMES),
    help="What to write; may be repeated (default: value, hard, progress).",
)
@click.option(
    "--first",
    metavar="RULE",
    help="Also write labels.first, the first wrong step: zero, drop:RHO or below:T.",
)
@click.option(
    "--from",
    "score",
    metavar="NAME",
    help="The score that --first below:T reads (default: the values, else the only score).",
)
@click.option(
    "--sampler",
    metavar="ID|INDEX",
    help="Whose draws count, where several samplers drew.",
)
@click.option(
    "--undecided",
    type=click.Choice(labels.UNDECIDED),
    default="apart",
    show_default=True,
    help="Leave draws without a verdict out of n, or count them as wrong.",
)
@click.option(
    "--z",
    metavar="Z",
    type=click.FloatRange(min=0, min_open=True, max=100),
    help=f"Half-width of the interval of a value, in standard deviations (default: {stats.Z_95}).",
)
@reads
@writes
def main(
    streams: Streams,
    names: tuple[str, ...],
    first: str | None,
    score: str | None,
    sampler: str | None,
    undecided: str,
    z: float | None,
) -> None:
    """Turn the evidence in a trace's tree into labels of its steps.

    \b
      step-label evidence.jsonl -o labelled.jsonl
      step-label --label soft --undecided wrong evidence.jsonl
      step-score --prm prm.gguf t.jsonl | step-label --first below:0.5
    """
    rule = None if first is None else labels.FirstRule.parse(first)
    if score is not None and (rule is None or rule.kind != "below"):
        raise UsageError("--from has no effect without --first below:T")
    if z is not None and names and "value" not in names:
        raise UsageError("--z has no effect without --label value")
    settings = labels.Settings(
        tuple(dict.fromkeys(names)) or None, rule, score, sampler, undecided, z or stats.Z_95
    )

    def block(records: list[Record]) -> list[Result]:
        results = labels.label([record.data for record in records], settings)
        return [_labelled(*pair) for pair in zip(records, results, strict=True)]

    blocks(streams, block)


def _labelled(record: Record, result: schema.Json | DataError) -> Result:
    if isinstance(result, DataError):
        return result
    try:
        record.merge("labels", result)
    except DataError as error:
        return error
    if schema.VERSION_KEY not in record.data:
        record.set(schema.VERSION_KEY, schema.VERSION)
    return [record]
