"""The shared options, as decorators stacked by need.

The same option has the same letter, help text and default in every command; command.py gathers
their values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from stepkit.runner.command import command, on_command_line, refuse_idle_options
from stepkit.runner.option_declarations import F, OptionDeclaration, declared, stack, titled
from stepkit.runner.settings import ModelOptions, ServerOptions

__all__ = [
    "F",
    "ModelOptions",
    "OptionDeclaration",
    "ServerOptions",
    "command",
    "declared",
    "input_options",
    "jobs_option",
    "journal_options",
    "model_file",
    "model_options",
    "on_command_line",
    "output_options",
    "refuse_idle_options",
    "regroup_option",
    "server_options",
    "stack",
    "titled",
]

MOST_THREADS = 512
"""llama.cpp's own bound; with many more it dies without a word."""


def input_options(function: F) -> F:
    """FILE..., --limit, --shard, --on-error, --rejects."""
    return stack(
        function,
        click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path()),
        click.option(
            "--limit",
            metavar="N",
            type=click.IntRange(min=1),
            help="Stop after N records (groups, for a command that reads groups).",
        ),
        click.option(
            "--shard",
            metavar="I/N",
            callback=_shard,
            help="Use only part I of N; records of a group fall into the same part.",
        ),
        click.option(
            "--on-error",
            type=click.Choice(["fail", "skip", "reject"]),
            help="What to do with a bad record: stop (default), drop it, or write it to --rejects.",
        ),
        click.option(
            "--rejects",
            metavar="FILE",
            type=click.Path(dir_okay=False),
            help="Write rejected lines and their errors here (implies --on-error reject).",
        ),
        group="Input",
    )


def output_options(function: F) -> F:
    """-o, -q, -v."""
    return stack(
        function,
        click.option(
            "-o",
            "--output",
            metavar="FILE",
            default="-",
            type=click.Path(),
            help="Write to FILE, which appears only when all went well (.gz is compressed).",
        ),
        click.option("-q", "--quiet", is_flag=True, help="No progress, summary or warnings."),
        click.option("-v", "--verbose", is_flag=True, help="Say more on standard error."),
        group="Output",
    )


def regroup_option(function: F) -> F:
    """--regroup."""
    return stack(
        function,
        click.option(
            "--regroup",
            is_flag=True,
            help="Sort on disk first, so that the records of a group are adjacent.",
        ),
        group="Input",
    )


def journal_options(function: F) -> F:
    """--resume, --journal, --window."""
    return stack(
        function,
        click.option(
            "--resume", is_flag=True, help="Go on from the journal of an interrupted run."
        ),
        click.option(
            "--journal",
            metavar="FILE",
            type=click.Path(dir_okay=False),
            help="Remember finished work here (default: OUTPUT.journal with -o).",
        ),
        click.option(
            "--window",
            metavar="N",
            type=click.IntRange(min=1),
            default=64,
            show_default=True,
            help="Most records in work at the same time.",
        ),
        group="Resuming",
    )


def model_options(
    *names: str, required: bool = True, help: str = "The model, a GGUF file."
) -> Callable[[F], F]:
    """-m/--model (or ``names``) and how it is run: gathered as ``model``."""
    names = names or ("-m", "--model")

    def decorate(function: F) -> F:
        count = click.IntRange(min=1)
        return stack(
            function,
            model_file(*names, "gguf", required=required, help=help),
            click.option(
                "-ngl",
                "--gpu-layers",
                metavar="N",
                type=click.IntRange(min=-1),
                default=0,
                show_default=True,
                help="Layers on the GPU; -1 is all.",
            ),
            click.option(
                "--main-gpu",
                metavar="N",
                type=click.IntRange(min=0),
                help="The one GPU to use, of several.",
            ),
            click.option(
                "--tensor-split",
                metavar="A,B,...",
                callback=_parts,
                help="Shares of the model on each GPU, as in 3,1.",
            ),
            click.option(
                "-t",
                "--threads",
                metavar="N",
                type=click.IntRange(1, MOST_THREADS),
                help="CPU threads (default: the cores available).",
            ),
            click.option(
                "--slots",
                metavar="N",
                type=click.IntRange(8, 255),
                help="Sequences decoded together (default: by draws and memory).",
            ),
            click.option(
                "-c",
                "--context",
                metavar="N",
                type=count,
                help="Most tokens with the prompt (default: as trained for).",
            ),
            click.option(
                "--batch",
                metavar="N",
                type=count,
                help="Tokens evaluated together (default: by what fits).",
            ),
            click.option(
                "--fast",
                is_flag=True,
                help="Faster, but draws depend a little on what else is drawn.",
            ),
            group="Model",
        )

    return decorate


def server_options(function: F) -> F:
    """--server, --served, --concurrency, --timeout, --retries: gathered as ``server``."""
    return stack(
        function,
        click.option(
            "--server",
            "urls",
            metavar="URL",
            multiple=True,
            help="Ask an OpenAI-compatible server (repeatable) instead of running the model here.",
        ),
        click.option(
            "--served", metavar="NAME", help="The model to ask for, where a server has several."
        ),
        click.option(
            "--concurrency",
            metavar="N",
            type=click.IntRange(min=1),
            help="Requests in flight over all servers (default: 32).",
        ),
        click.option(
            "--timeout",
            metavar="SECONDS",
            type=click.FloatRange(min=0, min_open=True),
            help="How long to wait for an answer (default: 600).",
        ),
        click.option(
            "--retries",
            metavar="N",
            type=click.IntRange(min=1),
            help="Failures in a row after which a server is given up (default: 8).",
        ),
        group="Servers",
    )


def model_file(*names: str, **settings: Any) -> Callable[[F], F]:
    """An option that names a GGUF file or a model in a store, looked up before input is read."""
    return click.option(*names, metavar="FILE", callback=_gguf, type=click.Path(), **settings)


JOBS = declared(
    "-j",
    "--jobs",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that compare answers.",
)


def jobs_option(function: F) -> F:
    """-j/--jobs, given to the command as ``jobs``."""
    return JOBS()(function)


def _shard(context: click.Context, option: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    part, _, parts = value.partition("/")
    if part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    raise click.BadParameter("expected I/N with I from 1 to N, as in 1/4", context, option)


def _parts(context: click.Context, option: click.Parameter, value: str | None) -> tuple[float, ...]:
    if value is None:
        return ()
    try:
        parts = tuple(float(part) for part in value.split(","))
    except ValueError:
        parts = (-1.0,)
    if not all(0 <= part < float("inf") for part in parts) or not sum(parts):
        raise click.BadParameter("expected numbers, as in 3,1", context, option)
    return parts


def _gguf(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    from stepkit.stores.locate import check_name

    check_name(value, option.opts[-1])
    return value
