"""step-score --check and --command: steps scored by a rule or by a program."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from stepkit.cli.actions.step_scores import score_without_engine, steps_of, with_scores
from stepkit.cli.options.checkers import ARITHMETIC, CheckerOptions
from stepkit.errors import UsageError
from stepkit.runner.options import refuse_idle_options
from stepkit.runner.run import StreamOptions

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.search.scheduler import Strategy
    from stepkit.search.scorers import TraceScores

CHECKER = "checker"


def run_checker(checker: CheckerOptions, streams: StreamOptions, name: str | None) -> None:
    """Score every step by arithmetic, or by the program that the options name.

    Args:
        name: name of the scores; None: that of the check.

    Raises UsageError for an option that has no effect here.
    """
    if checker.command is None:
        from stepkit.search.scorers.arithmetic import ArithmeticScorer

        refuse_idle_options({"check", "name"}, "with --check")
        score_without_engine(streams, name or ARITHMETIC, ArithmeticScorer(), CHECKER)
        return
    journal = {"resume", "journal", "window"}
    used = {"command", "verdict", "time_limit", "jobs", "name", *journal}
    refuse_idle_options(used, "with --command")
    _run_program(checker, checker.command, streams, name or CHECKER)


def _run_program(checker: CheckerOptions, command: str, streams: StreamOptions, key: str) -> None:
    from stepkit.cli.actions.session import SessionWork, run_strategies
    from stepkit.model.checkers.program_engine import CheckerCommand, ProgramEngine
    from stepkit.search.scorers.program import ProgramScorer

    argv = _argv(command)
    meta = {"command": command, "verdict": checker.verdict, "seconds": checker.seconds}
    scorer = ProgramScorer(meta)

    def strategy(record: Record) -> Strategy:
        return (yield from scorer.score(record.data, steps_of(record)))

    def write(record: Record, scores: TraceScores) -> list[Record]:
        return [with_scores(record, key, scorer, CHECKER, scores)]

    program = CheckerCommand(argv, checker.seconds, checker.verdict)
    open_engine = partial(ProgramEngine, program, checker.jobs)
    run_strategies(SessionWork(streams, open_engine, strategy, write), {"scorer": key, **meta})


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
