"""step-label: evidence in, labels out. Needs no model; see core/labels for the formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stepkit.cli.options.shared import SAMPLER, UNDECIDED, listing
from stepkit.core import labels
from stepkit.errors import UsageError
from stepkit.runner.options import command, input_options, output_options, regroup_option
from stepkit.runner.run import StreamOptions, blocks, groups

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record


@command("step-label", own="Labels")
@click.option(
    "--label",
    "names",
    metavar="NAME[:PARAMETER=VALUE,...]",
    multiple=True,
    help="What to write; may be repeated (default: value, hard, progress).",
)
@listing(
    "--list",
    labels.listing,
    help="List the labels and the rules of --first with their sources and parameters, and exit.",
)
@click.option(
    "--first",
    metavar="RULE",
    help=f"Also write labels.first, the first wrong step, by {labels.first_error_usage()}.",
)
@click.option(
    "--from",
    "score",
    metavar="NAME",
    help=f"The label or score that --first {labels.first_error_usage(of_column=True)} reads "
    "(default: the values, else the only score).",
)
@SAMPLER()
@UNDECIDED()
@click.option(
    "--pool",
    is_flag=True,
    help="Let backup=pooled, backup=later and over=group use all traces of a group.",
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
@regroup_option
@input_options
@output_options
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
    """Turn the evidence in a trace's tree, or a column, into labels of its steps.

    \b
      step-label evidence.jsonl -o labelled.jsonl
      step-label --label soft --label gae:lambda=0.9 evidence.jsonl
      step-score --prm prm.gguf t.jsonl | step-label --first below:0.5
      step-score --prm prm.gguf t.jsonl | step-label --label gae:from=prm,root=0.5
      step-label --list
    """
    if streams.regroup and not pool:
        raise UsageError("--regroup has no effect without --pool")
    from stepkit.cli.actions.label_records import (
        UndecidedDraws,
        label_block,
        label_group,
        settings_of,
    )

    settings = settings_of(names, first, score, sampler, undecided, pool, nodes)
    undecided_draws = UndecidedDraws()

    def counted(records: list[Record]) -> list[Record]:
        if undecided == "wrong":
            undecided_draws.add(records)
        return records

    if pool:
        groups(streams, lambda records: label_group(counted(records), settings, nodes, merge or 0))
    else:
        blocks(streams, lambda records: label_block(counted(records), settings, nodes, merge or 0))
    if note := undecided_draws.note():
        streams.warn(note)
