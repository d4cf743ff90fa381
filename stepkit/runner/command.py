"""The command: every ending is the right exit status, and the shared options come gathered.

A command function gets ``streams`` (and ``model``, ``server``) instead of twenty keywords. Nothing
here reads or writes a record.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

import click

from stepkit import __version__
from stepkit.errors import EXIT_OK, EXIT_REJECTED, EXIT_USAGE, UsageError
from stepkit.runner.help_pages import (
    Topics,
    chosen_topic,
    write_common,
    write_groups,
    write_names,
    write_topic,
)
from stepkit.runner.settings import ModelOptions, ServerOptions, StreamOptions

EXIT_CODES = """\b
Exit status: 0 every record was used, 1 some were rejected, 2 usage, 3 bad data,
4 reading, writing or a model failed; else the signal that stopped it."""

STREAM_PARAMETERS = (
    "files",
    "limit",
    "shard",
    "on_error",
    "rejects",
    "output",
    "quiet",
    "verbose",
)
"""Parameters that every command has, with an effect in each of its modes."""

_STREAMS = (*STREAM_PARAMETERS, "regroup", "resume", "journal", "window")
_MODEL = (
    "gpu_layers",
    "main_gpu",
    "tensor_split",
    "threads",
    "slots",
    "context",
    "batch",
    "fast",
)
_SERVER = ("served", "concurrency", "timeout", "retries")


class Command(click.Command):
    """A command whose every ending is the right exit status (see exit.py).

    Args:
        own: the title of the options that the command declares itself, in its help.
        common: the parameters that --help shows; None: all.
        topics: what --help shows of the one that an option names (help_pages.py).
    """

    def __init__(
        self,
        *args: Any,
        own: str = "Options",
        common: Collection[str] | None = None,
        topics: Topics | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self._own, self._common, self._topics = own, common, topics or {}

    def format_help(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The common options, those of the method that is named, or all (``stepkit.all``)."""
        topic = chosen_topic(context.meta.get("stepkit.args", ()), self._topics)
        if topic is not None and not context.meta.get("stepkit.all"):
            write_topic(context, formatter, *topic)
        else:
            super().format_help(context, formatter)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The options in their groups."""
        if context.meta.get("stepkit.all") or self._common is None:
            write_groups(context, formatter, self._own)
        else:
            write_common(context, formatter, self._common)
        write_names(formatter, self._topics)

    def main(self, args: Sequence[str] | None = None, *ignored: Any, **more: Any) -> NoReturn:
        """Run with ``args`` (default: the command line) and exit."""
        from stepkit.runner.exit import run_to_end

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

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """As click does; but NaN is no number, though no bound refuses it."""
        context.meta["stepkit.args"] = tuple(args)
        rest = super().parse_args(context, args)
        for option in self.params:
            if (value := context.params.get(option.name or "")) != value:
                raise click.BadParameter(f"{value} is not a number", context, option)
        return rest

    def _complete(self, name: str) -> None:
        variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
        if instruction := os.environ.get(variable):
            from click.shell_completion import shell_complete

            sys.exit(shell_complete(self, {}, name, variable, instruction))


def command(name: str, **settings: Any) -> Callable[[Callable[..., None]], Command]:
    """Make a click command called ``name``; ``settings`` are click.Command's."""

    def decorate(function: Callable[..., None]) -> Command:
        settings.setdefault("epilog", f"{EXIT_CODES}\n\nSee also: man {name}")
        decorated = click.option(
            "--help-all",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_help_all,
            help="Show all options, in groups, and exit.",
        )(_gathering(name, function))
        decorated = click.version_option(__version__, message=f"{name} %(version)s")(decorated)
        return click.command(
            name,
            cls=Command,
            context_settings={"help_option_names": ["-h", "--help"], "terminal_width": _width()},
            **settings,
        )(decorated)

    return decorate


def _help_all(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        context.meta["stepkit.all"] = True
        click.echo(context.get_help())
        context.exit()


def on_command_line() -> dict[str, str]:
    """The options that stand on the command line of the command that runs: name -> spelling."""
    context = click.get_current_context()
    return {
        option.name: option.opts[-1]
        for option in context.command.params
        if option.name and _from_command_line(context, option.name)
    }


def refuse_idle_options(used: Collection[str], where: str) -> None:
    """Refuse the first option on the command line that has no effect in this mode.

    Args:
        used: the parameters with an effect, in addition to STREAM_PARAMETERS.
        where: the mode, as in "with --check".

    Raises UsageError.
    """
    for name, option in on_command_line().items():
        if name not in used and name not in STREAM_PARAMETERS:
            raise UsageError(f"{option} has no effect {where}")


def _from_command_line(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gathering(name: str, function: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command function: the shared options become ``streams``, ``model`` and ``server``."""

    def call(**values: Any) -> None:
        if "urls" in values:
            values["server"] = _servers(values)
        if "gpu_layers" in values:
            values["model"] = _model(values)
        gathered = {key: values.pop(key) for key in _STREAMS if key in values}
        streams = _streams(name, gathered)
        click.get_current_context().meta["stepkit.streams"] = streams
        with streams.progress:
            function(streams=streams, **values)

    call.__doc__ = function.__doc__
    call.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return call


def _model(values: dict[str, Any]) -> ModelOptions:
    """Take the model options out of ``values``; those without effect on a processor are refused."""
    settings = {key: values.pop(key) for key in _MODEL}
    settings["threads"] = settings["threads"] or cores()
    for placed in ("main_gpu", "tensor_split"):
        if settings[placed] not in (None, ()) and not settings["gpu_layers"]:
            raise UsageError(f"--{placed.replace('_', '-')} has no effect without --gpu-layers")
    return ModelOptions(values.pop("gguf"), **settings)


def _servers(values: dict[str, Any]) -> ServerOptions:
    """Take the server options out of ``values``; those without effect are refused."""
    urls = values.pop("urls")
    settings = {key: values.pop(key) for key in _SERVER}
    given = {key: value for key, value in settings.items() if value is not None}
    # batch files are answered by a server too, and need to know which model it serves
    usable = {"served"} if values.get("to_batch") or values.get("from_batch") else set()
    idle = [key for key in given if key not in usable]
    if not urls and idle:
        raise UsageError(f"--{idle[0]} goes with --server")
    if (urls or usable) and values.get("prm") is None:  # a verifier runs here all the same
        context = click.get_current_context()
        for key in _MODEL:
            if _from_command_line(context, key):
                raise UsageError(f"--{key.replace('_', '-')} is for a model that runs here")
    return ServerOptions(urls, **given)


def _streams(name: str, given: dict[str, Any]) -> StreamOptions:
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
    # Reported now, not after a model was loaded.
    from stepkit.io import journal, lines
    from stepkit.runner.console import Progress

    lines.check(given["files"])
    if "journal" in given:
        journal.check(given["output"], given["journal"], given["resume"])
    quiet, verbose = given.get("quiet", False), given.get("verbose", False)
    progress = Progress(name, shown=not quiet, logged=verbose)
    return StreamOptions(command=name, progress=progress, **given)


def _on_error(given: str | None, rejects: str | None) -> str:
    if rejects == "-":
        raise UsageError("--rejects -: standard output is for records; name a file")
    if rejects and given not in (None, "reject"):
        raise UsageError(f"--rejects has no effect with --on-error {given}")
    if given == "reject" and not rejects:
        raise UsageError("--on-error reject needs --rejects FILE")
    return "reject" if rejects else given or "fail"


def _width() -> int:
    """Columns for --help, at most 100. Click would import shutil and its archivers to ask."""
    try:
        columns = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(1).columns
    except (OSError, ValueError):
        columns = 80
    return min(max(columns, 40), 100)


def _lowered(message: str) -> str:
    """Click's sentence as the rest of a line."""
    message = " ".join(message.split()).rstrip(".")
    return message[:1].lower() + message[1:]
