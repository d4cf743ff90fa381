"""step-score --check and --command: rules and programs that check whether a step is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from stepkit.errors import UsageError
from stepkit.runner import options

ARITHMETIC = "arithmetic"
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
        options.JOBS(
            default=None, help="With --command: programs run at the same time (default: 1)."
        ),
        group="Checkers",
    )


@dataclass(frozen=True)
class CheckerOptions:
    """How steps are checked.

    Attributes:
        command: the program, or None for arithmetic.
        verdict: where the program's verdict is read, "status" or "json".
        seconds: time limit of the program for one step.
        jobs: how many programs run at a time.
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
    settings = {name: given.pop(name) for name in ("verdict", "time_limit", "jobs")}
    if check and command is not None:
        raise UsageError("--check and --command exclude each other")
    for name, value in settings.items():
        if value is not None and command is None:
            raise UsageError(f"--{name.replace('_', '-')} goes with --command")
    if not check and command is None:
        return None
    return CheckerOptions(
        command,
        settings["verdict"] or "status",
        settings["time_limit"] or SECONDS,
        settings["jobs"] or 1,
    )
