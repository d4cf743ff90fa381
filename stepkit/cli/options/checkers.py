"""step-score --check and --command: rules and programs that say whether a step is right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from stepkit.cli.actions.score_without_model import (
    refuse_others,
    score_alone,
    steps_of,
    with_scores,
)
from stepkit.errors import UsageError
from stepkit.runner import options
from stepkit.runner.run import StreamOptions

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.search.scheduler import Strategy
    from stepkit.search.scorers import TraceScores

ARITHMETIC = "arithmetic"
CHECKER = "checker"
SECONDS = 60.0


def checker_options(function: options.F) -> options.F:
    """--check, --command and what goes with them."""
    return options.stack(
        function,
        click.option(
            "--check",
            type=click.Choice([ARITHMETIC]),
            help="Check the sums in every step; no model.",
        ),
        click.option(
            "--command",
            metavar="COMMAND",
            help="Run a program on every step, which reads JSON or {step}, {prefix}, {json} files.",
        ),
        click.option(
            "--verdict",
            type=click.Choice(["status", "json"]),
            help="With --command, what says how the step is: exit status 0 or 1 (default), or "
            'printed JSON with "x" and "why".',
        ),
        click.option(
            "--time-limit",
            metavar="SECONDS",
            type=click.FloatRange(min=0, min_open=True),
            help=f"With --command: stop the program after this (default: {SECONDS:g}).",
        ),
        click.option(
            "-j",
            "--jobs",
            metavar="N",
            type=click.IntRange(min=1),
            help="With --command: programs run side by side (default: 1).",
        ),
    )


@dataclass(frozen=True)
class CheckerOptions:
    """What the options say.

    Attributes:
        command: the program, or None for arithmetic.
        verdict: what counts, one of programs.VERDICTS.
        seconds: time limit for a step.
        jobs: programs side by side.
    """

    command: str | None
    verdict: str
    seconds: float
    jobs: int


def parse_checker_options(given: dict[str, Any]) -> CheckerOptions | None:
    """Take the options of this module out of ``given``; None without --check and --command.

    Raises UsageError for an option without effect.
    """
    check, command = given.pop("check"), given.pop("command")
    beside = {name: given.pop(name) for name in ("verdict", "time_limit", "jobs")}
    if check and command is not None:
        raise UsageError("--check and --command exclude each other")
    for name, value in beside.items():
        if value is not None and command is None:
            raise UsageError(f"--{name.replace('_', '-')} goes with --command")
    if not check and command is None:
        return None
    return CheckerOptions(
        command,
        beside["verdict"] or "status",
        beside["time_limit"] or SECONDS,
        beside["jobs"] or 1,
    )


def score(checking: CheckerOptions, streams: StreamOptions, name: str | None) -> None:
    """Score by a rule or a program."""
    if checking.command is None:
        from stepkit.search.scorers.arithmetic import ArithmeticScorer

        refuse_others("--check", {"check"})
        score_alone(streams, name or ARITHMETIC, ArithmeticScorer(), CHECKER)
        return
    journal = {"resume", "journal", "window"}
    refuse_others("--command", {"command", "verdict", "time_limit", "jobs", *journal})
    _run(checking, checking.command, streams, name or CHECKER)


def _run(checking: CheckerOptions, command: str, streams: StreamOptions, key: str) -> None:
    from stepkit.cli.actions.session import SessionWork, run_strategies
    from stepkit.model.checkers.program_engine import CheckerCommand, ProgramEngine
    from stepkit.search.scorers.program import ProgramScorer

    argv = _argv(command)
    meta = {"command": command, "verdict": checking.verdict, "seconds": checking.seconds}
    scorer = ProgramScorer(meta)

    def strategy(record: Record) -> Strategy:
        return (yield from scorer.score(record.data, steps_of(record)))

    def write(record: Record, scored: TraceScores) -> list[Record]:
        return [with_scores(record, key, scorer, CHECKER, scored)]

    opened = partial(
        ProgramEngine, CheckerCommand(argv, checking.seconds, checking.verdict), checking.jobs
    )
    run_strategies(SessionWork(streams, opened, strategy, write), {"scorer": key, **meta})


def _argv(command: str) -> tuple[str, ...]:
    """The program and its arguments. Raises UsageError when there is none."""
    import shlex
    import shutil

    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"--command {command}: {str(error).lower()}") from None
    if not argv:
        raise UsageError("--command: expected a program")
    if shutil.which(argv[0]) is None:
        raise UsageError(f"--command: no program {argv[0]} to run")
    return argv
