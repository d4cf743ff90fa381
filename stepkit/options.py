"""The command and its shared options, as decorators stacked by need.

The same option has the same letter, help text and default in every command. The decorators gather
their values: a command function gets ``streams`` (and ``model``, ``jobs``) instead of twenty
keywords. Nothing here reads or writes a record.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import click

from stepkit import __version__
from stepkit.errors import EXIT_OK, EXIT_REJECTED, EXIT_USAGE, UsageError
from stepkit.streams import Streams

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

MOST_THREADS = 512
"""llama.cpp's own bound; with many more it dies without a word."""

EXIT_CODES = """\b
Exit status: 0 every record was used, 1 some were rejected, 2 usage, 3 bad data,
4 reading, writing or a model failed; else the signal that stopped it."""


@dataclass(frozen=True)
class ModelOptions:
    """How a GGUF model is run; None lets the engine choose.

    Attributes:
        model: the file, or None when the command does without.
        gpu_layers: layers on the GPU.
        threads: CPU threads.
        slots: sequences decoded together.
        context: tokens per sequence.
        batch: tokens evaluated together when a prefix is entered.
        fast: the layout may be one in which a draw depends on what else is in flight.
        main_gpu: the GPU that holds the model, or where several hold parts, small tensors.
        tensor_split: parts of the model on each GPU.
    """

    model: str | None
    gpu_layers: int = 0
    threads: int = 1
    slots: int | None = None
    context: int | None = None
    batch: int | None = None
    fast: bool = False
    main_gpu: int | None = None
    tensor_split: tuple[float, ...] = ()


@dataclass(frozen=True)
class ServerOptions:
    """How servers are asked.

    Attributes:
        urls: their URLs; none when the model runs in this process.
        served: the model to ask for, or None for the only one.
        concurrency: requests in flight, over all servers.
        timeout: seconds for an answer.
        retries: failures in a row after which a server is given up.
    """

    urls: tuple[str, ...] = ()
    served: str | None = None
    concurrency: int = 32
    timeout: float = 600.0
    retries: int = 8


class Command(click.Command):
    """A command whose every ending is the right exit status (see ending.py)."""

    def main(self, args: Sequence[str] | None = None, *ignored: Any, **more: Any) -> NoReturn:
        """Run with ``args`` (default: the command line) and exit."""
        from stepkit.ending import run_to_end

        name = self.name or "stepkit"
        arguments = list(sys.argv[1:] if args is None else args)
        sys.exit(run_to_end(name, lambda: self._run(name, arguments)))

    def _run(self, name: str, arguments: list[str]) -> int:
        self._complete(name)
        try:
            # A bad value must not hide the help that explains it.
            with self.make_context(name, arguments) as context:
                self.invoke(context)
                streams = context.meta.get("stepkit.streams")
                return EXIT_REJECTED if streams and streams.tally.rejected else EXIT_OK
        except click.exceptions.Exit as ending:
            return ending.exit_code
        except click.ClickException as error:
            raise UsageError(f"{_lowered(error.format_message())} (see {name} --help)") from None

    def _complete(self, name: str) -> None:
        variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
        if instruction := os.environ.get(variable):
            from click.shell_completion import shell_complete

            sys.exit(shell_complete(self, {}, name, variable, instruction))


def command(name: str, **settings: Any) -> Callable[[Callable[..., None]], Command]:
    """Make a click command called ``name``; ``settings`` are click.Command's."""

    def decorate(function: Callable[..., None]) -> Command:
        settings.setdefault("epilog", f"{EXIT_CODES}\n\nSee also: man {name}")
        decorated = click.version_option(__version__, message=f"{name} %(version)s")(
            _gathering(name, function)
        )
        return click.command(
            name,
            cls=Command,
            context_settings={"help_option_names": ["-h", "--help"], "terminal_width": _width()},
            **settings,
        )(decorated)

    return decorate


def reads(function: F) -> F:
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
    )


def writes(function: F) -> F:
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
    )


def grouped(function: F) -> F:
    """--regroup."""
    return stack(
        function,
        click.option(
            "--regroup",
            is_flag=True,
            help="Sort on disk first, so that the records of a group are adjacent.",
        ),
    )


def journalled(function: F) -> F:
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
            help="Most records in work or waiting for an earlier one.",
        ),
    )


def uses_model(
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
                help="Sequences decoded together (default: by what fits).",
            ),
            click.option(
                "-c",
                "--context",
                metavar="N",
                type=count,
                help="Tokens per sequence (default: by what is needed).",
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
        )

    return decorate


def uses_servers(function: F) -> F:
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
    )


def model_file(*names: str, **settings: Any) -> Callable[[F], F]:
    """An option that names a GGUF file, checked before any input is read."""
    return click.option(*names, metavar="FILE", callback=_gguf, type=click.Path(), **settings)


def grades(function: F) -> F:
    """-j/--jobs, given to the command as ``jobs``."""
    return stack(
        function,
        click.option(
            "-j",
            "--jobs",
            metavar="N",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Processes that compare answers.",
        ),
    )


_STREAMS = (
    "files",
    "limit",
    "shard",
    "on_error",
    "rejects",
    "output",
    "quiet",
    "verbose",
    "regroup",
    "resume",
    "journal",
    "window",
)
_MODEL = (
    *("gpu_layers", "main_gpu", "tensor_split"),
    *("threads", "slots", "context", "batch", "fast"),
)
_SERVER = ("served", "concurrency", "timeout", "retries")


def _gathering(name: str, function: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command function: the shared options become ``streams`` and ``model``."""

    def call(**values: Any) -> None:
        if "urls" in values:
            values["server"] = _servers(values)
        if "gpu_layers" in values:
            chosen = {key: values.pop(key) for key in _MODEL}
            chosen["threads"] = chosen["threads"] or cores()
            for placed in ("main_gpu", "tensor_split"):
                if chosen[placed] not in (None, ()) and not chosen["gpu_layers"]:
                    option = placed.replace("_", "-")
                    raise UsageError(f"--{option} has no effect without --gpu-layers")
            values["model"] = ModelOptions(values.pop("gguf"), **chosen)
        gathered = {key: values.pop(key) for key in _STREAMS if key in values}
        streams = _streams(name, gathered)
        click.get_current_context().meta["stepkit.streams"] = streams
        function(streams=streams, **values)

    call.__doc__ = function.__doc__
    call.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return call


def _servers(values: dict[str, Any]) -> ServerOptions:
    """Take the server options out of ``values``; what has no effect with or without is refused."""
    urls = values.pop("urls")
    chosen = {key: values.pop(key) for key in _SERVER}
    given = {key: value for key, value in chosen.items() if value is not None}
    # batch files are answered by a server too, and need to know which model it serves
    alone = {"served"} if values.get("to_batch") or values.get("from_batch") else set()
    if not urls and (idle := [key for key in given if key not in alone]):
        raise UsageError(f"--{idle[0]} goes with --server")
    if (urls or alone) and values.get("prm") is None:  # a verifier runs here all the same
        context = click.get_current_context()
        for key in _MODEL:
            if context.get_parameter_source(key) is click.core.ParameterSource.COMMANDLINE:
                raise UsageError(f"--{key.replace('_', '-')} is for a model that runs here")
    return ServerOptions(urls, **given)


def _streams(name: str, given: dict[str, Any]) -> Streams:
    if not given.get("files"):
        if "files" in given and sys.stdin is not None and sys.stdin.isatty():
            context = click.get_current_context()
            click.echo(f"{context.get_usage()}\nTry '{name} --help'.", err=True)
            context.exit(EXIT_USAGE)
        given["files"] = ("-",)
    given["files"] = tuple(os.fspath(file) for file in given["files"])
    given["on_error"] = _on_error(given.get("on_error"), given.get("rejects"))
    if given.get("verbose") and given.get("quiet"):
        raise UsageError("--quiet and --verbose exclude each other")
    # Told now, not after a model was loaded.
    from stepkit import journal, lines

    lines.check(given["files"])
    if "journal" in given:
        journal.check(given["output"], given["journal"], given["resume"])
    return Streams(command=name, **given)


def _on_error(given: str | None, rejects: str | None) -> str:
    if rejects == "-":
        raise UsageError("--rejects -: standard output is for records; name a file")
    if rejects and given not in (None, "reject"):
        raise UsageError(f"--rejects has no effect with --on-error {given}")
    if given == "reject" and not rejects:
        raise UsageError("--on-error reject needs --rejects FILE")
    return "reject" if rejects else given or "fail"


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
    name = f"{option.opts[-1]} {value}"
    try:
        with open(value, "rb") as file:
            head = file.read(4)
            rest = file.read(8)
    except OSError as error:
        from stepkit.lines import reason

        raise UsageError(f"{name}: {reason(error)}") from None
    if head != b"GGUF":
        pointer = " (a Git LFS pointer: run git lfs pull)" if head + rest == b"version http" else ""
        raise UsageError(f"{name}: not a GGUF file{pointer}")
    return value


def _width() -> int:
    """Columns for --help, at most 100. Click would import shutil and its archivers to ask."""
    try:
        columns = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(1).columns
    except (OSError, ValueError):
        columns = 80
    return min(max(columns, 40), 100)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stack(function: F, *decorators: Callable[[Any], Any]) -> F:
    """Apply the decorators so that the options stand in --help as they stand here."""
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def _lowered(message: str) -> str:
    """Click's sentence as the rest of a line."""
    message = " ".join(message.split()).rstrip(".")
    return message[:1].lower() + message[1:]
