"""step-eval: judged and scored attempts in, measures with intervals out. Needs no model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from stepkit.cli.options.aggregate import (
    aggregate_option,
    check_aggregate,
    check_map,
    map_option,
)
from stepkit.cli.options.shared import SEED, UNDECIDED
from stepkit.errors import UsageError
from stepkit.runner.options import command, input_options, output_options, refuse_idle_options
from stepkit.runner.run import StreamOptions

if TYPE_CHECKING:
    from stepkit.core.evaluation.attempts import GoldSource
    from stepkit.core.selection import VoteMap

CURVES = ("pass", "majority", "best", "weighted", "log-weighted")
VOTES = ("weighted", "log-weighted")
"""Of them those that sum the scores."""
REDUNDANCY = 0.15
"""That of protocols.py, which takes a while to load."""
PROTOCOLS = ("processbench", "prmbench", "agentprocessbench")
METHODS = ("temperature", "platt", "isotonic", "threshold")

ROWS = {
    "scores",
    "gold",
    "part",
    "by_file",
    "against",
    "no_intervals",
    "resamples",
    "seed",
    "as_table",
}
EFFECT = {
    "--apply": {"apply_file"},
    "--fit": {"fit", "scores", "gold"},
    "--protocol": ROWS | {"protocol", "threshold", "label", "redundancy"},
    "": ROWS | {"curves", "ks", "aggregates", "maps", "undecided", "bins", "plot", "over"},
}
"""Which options have an effect in which of the command's modes."""


def _listed(context: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = tuple(value.split(",")) if value else ()
    for name in names:
        if name not in CURVES:
            raise click.BadParameter(f"{name!r} is none of {', '.join(CURVES)}", context, option)
    return names


def _numbers(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, ...]:
    parts = value.split(",") if value else []
    if not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter("expected numbers from 1, as in 1,4,16", context, option)
    return tuple(sorted({int(part) for part in parts}))


@command("step-eval", own="Evaluation")
@click.option(
    "--curves",
    metavar="LIST",
    callback=_listed,
    help="Of pass, majority, best, weighted and log-weighted, with commas (default: what the "
    "records allow, but log-weighted).",
)
@click.option(
    "--k",
    "ks",
    metavar="LIST",
    callback=_numbers,
    help="Numbers of attempts (default: powers of two up to the fewest at any problem).",
)
@click.option(
    "--score",
    "scores",
    metavar="NAME",
    multiple=True,
    help="A column to measure, a score or a label; may be repeated (default: all scores).",
)
@aggregate_option("aggregates", repeatable=True)
@map_option("maps", repeatable=True)
@click.option(
    "--against",
    metavar="NAME",
    multiple=True,
    help="Also the difference to: single, majority, a score, an aggregate, a map or a file.",
)
@click.option(
    "--gold",
    metavar="NAME|FIELD:BASE",
    help="True labels of steps: labels.NAME or scores.NAME, or a field that counts from BASE, 0 "
    "or 1 (default: labels.gold).",
)
@click.option(
    "--protocol", type=click.Choice(PROTOCOLS), help="Measure as that benchmark does, only."
)
@click.option(
    "--threshold",
    metavar="T|MAP",
    help="With --protocol: steps scoring below are wrong (default: 0.5); or the one in a map.",
)
@click.option(
    "--label",
    metavar="NAME",
    help="With --protocol: judge labels.NAME (or scores.NAME) as it is, without a threshold.",
)
@click.option(
    "--redundancy",
    metavar="NAME[:T]",
    help="With --protocol prmbench: where steps are marked as redundant, those are called so whose "
    f"column NAME is above T (default: {REDUNDANCY}).",
)
@click.option("--part", metavar="FIELD", help="Also by the values of a field of the records.")
@click.option("--by-file", is_flag=True, help="Each file by itself, paired by problem.")
@UNDECIDED(default="wrong", help="Leave attempts without a verdict out, or count them as wrong.")
@click.option(
    "--bins",
    metavar="N",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Bins of the calibration error.",
)
@click.option("--no-intervals", is_flag=True, help="Numbers alone, without their 95 % intervals.")
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    hidden=True,
    help="Of earlier versions: 0 is --no-intervals, any other number changes nothing.",
)
@SEED(help="Seed of the subsets of attempts.")
@click.option(
    "--table/--json",
    "as_table",
    default=None,
    help="A table for people, or JSON lines (default: a table on a terminal).",
)
@click.option(
    "--plot", metavar="FILE.svg", type=click.Path(dir_okay=False), help="Also draw the curves."
)
@click.option(
    "--over",
    type=click.Choice(["k", "tokens"]),
    default="k",
    show_default=True,
    help="With --plot: over attempts, or over the tokens that they took.",
)
@click.option(
    "--fit",
    type=click.Choice(METHODS),
    help="Fit a calibration map on gold labels and write it, nothing else.",
)
@click.option(
    "--apply",
    "apply_file",
    metavar="MAP",
    type=click.Path(dir_okay=False),
    help="Write the records with the score that a map makes, nothing else.",
)
@input_options
@output_options
def main(
    streams: StreamOptions, fit: str | None, apply_file: str | None, gold: str | None, **given: Any
) -> None:
    """Measure choices among attempts, scores of steps and judges, with intervals.

    \b
      step-eval scored.jsonl
      step-eval --curves best,weighted --k 8 --against majority scored.jsonl
      step-eval --protocol processbench --part subset judged.jsonl
      step-eval --fit platt --gold hard train.jsonl -o map.json
      step-eval --apply map.json test.jsonl | step-eval --gold hard
    """
    _refuse_idle(_mode(fit, apply_file, given["protocol"]))
    votes = [name for name in given["curves"] if name in VOTES]
    _check_maps(given["maps"], given["curves"])
    for aggregate, mapped in product(given["aggregates"], given["maps"] or (None,)):
        check_aggregate(aggregate, votes, "--curves", mapped)
    if apply_file is not None:
        from stepkit.cli.actions.calibration_maps import apply_map, read_map

        apply_map(streams, read_map(apply_file))
        return
    from stepkit.cli.actions import evaluate

    truth = None if gold is None else _gold(gold)
    if fit is not None:
        evaluate.fit(streams, fit, given["scores"], truth)
    else:
        evaluate.measure(streams, truth, given)


def _check_maps(maps: Sequence[VoteMap], curves: Sequence[str]) -> None:
    """Every curve that goes by scores must be able to use every map, and one must be there."""
    asked = [name for name in curves if name in ("best", *VOTES)]
    if maps and curves and not asked:
        raise UsageError(f"--map has no effect with --curves {','.join(curves)}")
    for name, mapped in product(asked, maps):
        if name != "best" or asked == ["best"]:  # next to a vote its curve is that without a map
            check_map(mapped, name, "--curves")


def _mode(fit: str | None, apply_file: str | None, protocol: str | None) -> str:
    """The option that says what is done, "" without one."""
    asked = {"--fit": fit, "--apply": apply_file, "--protocol": protocol}
    modes = [name for name, value in asked.items() if value is not None]
    if len(modes) > 1:
        raise UsageError(f"{modes[0]} and {modes[1]} exclude each other")
    return modes[0] if modes else ""


def _refuse_idle(mode: str) -> None:
    refuse_idle_options(EFFECT[mode], f"with {mode}" if mode else "without --protocol")
    values = click.get_current_context().params
    if values.get("over") == "tokens" and not values.get("plot"):
        raise UsageError("--over has no effect without --plot")


def _gold(text: str) -> GoldSource:
    from stepkit.core.evaluation.attempts import GoldSource

    name, colon, base = text.partition(":")
    if not colon:
        return GoldSource(name)
    if base not in ("0", "1") or not name:
        raise UsageError(f'--gold {text}: expected NAME, or FIELD:0 or FIELD:1, as in "label:0"')
    return GoldSource(name, int(base))
