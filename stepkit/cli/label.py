"""step-label: evidence in, labels out. Needs no model; see core/labels for the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import click

from stepkit import schema
from stepkit.cli.actions.record_fields import another, stamped
from stepkit.core import labels
from stepkit.errors import DataError, UsageError
from stepkit.runner.options import command, grouped, reads, writes
from stepkit.runner.run import Result, StreamOptions, blocks, groups

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record

Made: TypeAlias = schema.Json | DataError


def _list(context: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        click.echo(labels.listing())
        context.exit()


@command("step-label")
@click.option(
    "--label",
    "names",
    metavar="NAME[:PARAMETER=VALUE,...]",
    multiple=True,
    help="What to write; may be repeated (default: value, hard, progress).",
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list,
    help="List the labels with their sources and parameters, and exit.",
)
@click.option(
    "--first",
    metavar="RULE",
    help="Also write labels.first, the first wrong step, by zero, drop:RHO, below:T, tested or "
    "posterior[:P].",
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
    "--pool",
    is_flag=True,
    help="Let backup=pooled and backup=later draw on all traces of a group.",
)
@click.option(
    "--nodes",
    is_flag=True,
    help="Label every node of the tree, too, in tree.labels.",
)
@click.option(
    "--merge",
    metavar="N",
    type=click.IntRange(min=1),
    help="Also write each trace up to N times with two neighbouring steps as one.",
)
@grouped
@reads
@writes
def main(
    streams: StreamOptions,
    names: tuple[str, ...],
    first: str | None,
    score: str | None,
    sampler: str | None,
    undecided: str,
    pool: bool,
    nodes: bool,
    merge: int | None,
) -> None:
    """Turn the evidence in a trace's tree into labels of its steps.

    \b
      step-label evidence.jsonl -o labelled.jsonl
      step-label --label soft --label gae:lambda=0.9 evidence.jsonl
      step-score --prm prm.gguf t.jsonl | step-label --first below:0.5
      step-label --list
    """
    rule = None if first is None else labels.FirstRule.parse(first)
    if score is not None and (rule is None or rule.kind != "below"):
        raise UsageError("--from has no effect without --first below:T")
    wanted = labels.parse_all(names) if names else None
    if rule is not None and any(one.name == "first" for one in wanted or ()):
        raise UsageError("labels.first is what --first writes; choose another as=NAME")
    if pool and not any(one.pools for one in wanted or ()):
        raise UsageError("--pool has no effect without a label with backup=pooled or backup=later")
    if streams.regroup and not pool:
        raise UsageError("--regroup has no effect without --pool")
    if nodes and wanted is not None and not any(one.for_nodes for one in wanted):
        raise UsageError("--nodes has no effect: none of these labels is one of a node by itself")
    settings = labels.LabelSettings(wanted, rule, score, sampler, undecided, pool)

    def block(records: list[Record]) -> list[Result]:
        data = [record.data for record in records]
        results: Sequence[Made] = labels.label(data, settings)
        of_nodes: Sequence[Made] = labels.label_nodes(data, settings) if nodes else [{}] * len(data)
        made = zip(records, results, of_nodes, strict=True)
        return [_labelled(*one, merge or 0) for one in made]

    def group(records: list[Record]) -> list[Record]:
        made: list[Record] = []
        for record, result in zip(records, block(records), strict=True):
            if isinstance(result, DataError):
                raise result.at(record.place)
            made += result
        return made

    if pool:
        groups(streams, group)
    else:
        blocks(streams, block)


def _labelled(record: Record, result: Made, of_nodes: Made, merge: int) -> Result:
    if isinstance(result, DataError):
        return result
    if isinstance(of_nodes, DataError):
        return of_nodes
    try:
        twins = [_merged(record, result, step) for step in _to_merge(record, merge)]
        record.merge("labels", result)
        if of_nodes:
            old = record.data["tree"].get("labels") or {}
            if not isinstance(old, dict):
                raise DataError("expected an object", "tree.labels")
            record.merge("tree", {"labels": old | of_nodes})
    except DataError as error:
        return error
    return [stamped(record), *twins]


def _to_merge(record: Record, most: int) -> list[int]:
    from stepkit.core import step_merging

    return step_merging.chosen(record.data, most) if most else []


def _merged(record: Record, made: schema.Json, step: int) -> Record:
    from stepkit.core import step_merging

    return another(record, step_merging.DERIVED, step_merging.merged(record.data, made, step))
