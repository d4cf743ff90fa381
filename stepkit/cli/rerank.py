"""step-rerank: groups of scored attempts in, one choice a group out. Needs no model."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import click

from stepkit.cli.actions.record_fields import stamped
from stepkit.cli.options.aggregate import checked
from stepkit.core import selection
from stepkit.core.selection import METHODS, EarlyErrorFilter, SelectionSettings
from stepkit.errors import DataError, UsageError
from stepkit.runner.options import command, grouped, reads, writes
from stepkit.runner.run import StreamOptions, groups

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record

COUNT = click.IntRange(min=1)


@command("step-rerank")
@click.option(
    "--by",
    type=click.Choice(list(METHODS)),
    default="best",
    show_default=True,
    help="The best attempt, the answer with the most votes, or the winner of a tournament.",
)
@click.option(
    "--aggregate",
    metavar="NAME[:PARAMETER=VALUE,...]",
    help=f"How the scores of the steps become one number: {', '.join(selection.AGGREGATES)} "
    "(default: min).",
)
@click.option(
    "--score",
    metavar="NAME",
    help="The score to use, or the verdicts of a tournament (default: the only one there).",
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
    help="The label with the first error for --drop-before (default: the only one there).",
)
@click.option(
    "--keep", metavar="K", type=COUNT, help="Write the first K of each group (default: 1)."
)
@click.option("--all", "everyone", is_flag=True, help="Write every attempt, with its rank.")
@grouped
@reads
@writes
def main(
    streams: StreamOptions,
    by: str,
    aggregate: str | None,
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
      step-rerank --by majority attempts.jsonl
    """
    if keep and everyone:
        raise UsageError("--keep and --all exclude each other")
    _check_use(by, {"--aggregate": aggregate, "--score": score, "--longest": longest})
    if label is not None and drop_before is None:
        raise UsageError("--label has no effect without --drop-before")
    early = None if drop_before is None else _early(drop_before, label)
    how = checked(aggregate or "min", [by] if METHODS[by].votes else [], "--by")
    settings = SelectionSettings(by, how, score, longest or 0, early)
    groups(streams, _GroupRanking(settings, None if everyone else keep or 1))


class _GroupRanking:
    """The group function: what is kept of a group, with its reasons."""

    def __init__(self, settings: SelectionSettings, keep: int | None) -> None:
        self._settings = settings
        self._read = selection.reader(settings)
        self._keep = keep

    def __call__(self, records: list[Record]) -> list[Record]:
        candidates = []
        for record in records:
            try:
                candidates.append(self._read(record.data))
            except DataError as error:
                raise error.at(record.place) from None
        notes = selection.choose(candidates, self._settings, _same, self._keep)
        kept = []
        for record, note in zip(records, notes, strict=True):
            if note is not None:
                record.set("choice", note)
                kept.append(stamped(record))
        return kept


def _same(a: str, b: str) -> bool:
    from stepkit.grade import same_answer

    return same_answer(a, b)


def _check_use(by: str, given: dict[str, object]) -> None:
    """Refuse what the method does not look at, and miss what it needs."""
    reads = METHODS[by].reads
    uses = {
        "--aggregate": reads == "scores",
        "--score": reads in ("scores", "verdicts"),
        "--longest": by == "complexity",
    }
    for option, value in given.items():
        if value is not None and not uses[option]:
            raise UsageError(f"{option} has no effect with --by {by}")
    if by == "complexity" and given["--longest"] is None:
        raise UsageError("--by complexity needs --longest K")


def _early(text: str, label: str | None) -> EarlyErrorFilter:
    """``3`` is a number of steps, ``0.5`` and ``50%`` are shares."""
    percent = text.endswith("%")
    try:
        before = float(text[:-1]) / 100 if percent else float(text)
    except ValueError:
        before = 0.0
    share = percent or not text.isdecimal()
    if not isfinite(before) or before <= 0 or (share and before > 1):
        raise UsageError(
            f"--drop-before {text}: expected a number of steps (3) or a share of them (0.5, 50%)"
        )
    return EarlyErrorFilter(before, share, label)
