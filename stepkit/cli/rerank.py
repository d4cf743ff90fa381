"""step-rerank: groups of scored attempts in, one choice a group out. Needs no model."""

from __future__ import annotations

import click

from stepkit.cli.options.aggregate import aggregate_option, map_option
from stepkit.core.selection import METHODS, VoteMap
from stepkit.errors import UsageError
from stepkit.runner.options import command, input_options, output_options, regroup_option
from stepkit.runner.run import StreamOptions, groups

COUNT = click.IntRange(min=1)


@command("step-rerank", own="Choosing")
@click.option(
    "--by",
    type=click.Choice(list(METHODS)),
    default="best",
    show_default=True,
    help="The best attempt, the answer with the most votes, or the winner of a tournament.",
)
@aggregate_option("aggregate")
@map_option("map")
@click.option(
    "--score",
    metavar="NAME",
    help="The column to use: a score or a label; or the verdicts of a tournament (default: the "
    "only score there).",
)
@click.option(
    "--longest",
    metavar="K",
    type=COUNT,
    help="With --by complexity: how many of the longest attempts vote.",
)
@click.option(
    "--drop-before",
    metavar="STEP|SHARE",
    help="Drop attempts whose first error comes before a step (3), or a share of the steps (0.5).",
)
@click.option(
    "--label",
    metavar="NAME",
    help="The column with the first error for --drop-before (default: the only label, or else "
    "score, that has one).",
)
@click.option(
    "--keep", metavar="K", type=COUNT, help="Write the first K of each group (default: 1)."
)
@click.option("--all", "everyone", is_flag=True, help="Write every attempt, with its rank.")
@regroup_option
@input_options
@output_options
def main(
    streams: StreamOptions,
    by: str,
    aggregate: str | None,
    map: VoteMap | None,
    score: str | None,
    longest: int | None,
    drop_before: str | None,
    label: str | None,
    keep: int | None,
    everyone: bool,
) -> None:
    """Choose among the attempts at each problem, by the scores of their steps or by vote.

    \b
      step-score --prm prm.gguf attempts.jsonl | step-rerank
      step-rerank --by weighted --aggregate product scored.jsonl
      step-rerank --by weighted --map rank:p=1.2 --score self-certainty scored.jsonl
      step-rerank --by majority attempts.jsonl
    """
    if keep and everyone:
        raise UsageError("--keep and --all exclude each other")
    from stepkit.cli.actions.rank_groups import GroupRanking, settings_of

    settings = settings_of(by, aggregate, score, longest, drop_before, label, map)
    groups(streams, GroupRanking(settings, None if everyone else keep or 1))
