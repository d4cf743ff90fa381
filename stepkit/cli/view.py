"""step-view: traces in, a page for a browser out, or colours for a terminal. Needs no model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from stepkit.cli.options.shared import SAMPLER
from stepkit.errors import DataError, UsageError
from stepkit.runner.options import command, input_options, output_options
from stepkit.runner.run import STANDARD, StreamOptions, blocks

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.schema import Json
    from stepkit.view.trace_view import ViewOptions

from stepkit.core.columns import KINDS

COLOURS = ("auto", "always", "never")


@command("step-view", own="Showing")
@click.option("--label", metavar="NAME", help="Colour by this label (default: what is there).")
@click.option("--score", metavar="NAME", help="Colour by this score.")
@SAMPLER()
@click.option("--term", is_flag=True, help="Write for a terminal instead of a page.")
@click.option(
    "--color",
    type=click.Choice(COLOURS),
    help="Colours with --term: on a terminal (auto, the default), always or never.",
)
@input_options
@output_options
def main(
    streams: StreamOptions,
    label: str | None,
    score: str | None,
    sampler: str | None,
    term: bool,
    color: str | None,
) -> None:
    """Make one page of the traces: their steps, their values, and the evidence.

    \b
      step-view labels.jsonl -o page.html
      step-view --score prm scored.jsonl -o page.html
      step-view --term --color always labels.jsonl | less -R
    """
    from stepkit.view.trace_view import ViewOptions

    if label is not None and score is not None:
        raise UsageError("--label and --score exclude each other: steps have one colour")
    if color is not None and not term:
        raise UsageError("--color has no effect without --term")
    measure = _measure("labels", label) or _measure("scores", score)
    options = ViewOptions(measure, sampler)
    if term:
        _terminal(streams, options, color or "auto")
    else:
        _page(streams, options)


def _measure(kind: str, name: str | None) -> str | None:
    """What to colour by: of the option's kind, unless the name says another."""
    if name is None or name.partition(".")[0] in KINDS:
        return name
    return f"{kind}.{name}"


def _page(streams: StreamOptions, options: ViewOptions) -> None:
    from stepkit.view import page
    from stepkit.view.marked_text import add_marks
    from stepkit.view.trace_view import summary

    if streams.output == STANDARD and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("a page is not for a terminal: use -o FILE.html, or --term")

    from stepkit.io.jsonl import encode

    def piece(case: Json) -> bytes:
        add_marks(case)
        return page.piece(encode(summary(case)), encode(case))

    head = page.head(encode({"measure": options.measure}))
    blocks(streams, _each(options, piece), head)


def _terminal(streams: StreamOptions, options: ViewOptions, color: str) -> None:
    from stepkit.view.terminal import TerminalView

    terminal = TerminalView(
        _columns(), color == "always" or (color == "auto" and _coloured(streams))
    )
    blocks(streams, _each(options, lambda case: terminal.text(case).encode()))


def _each(
    options: ViewOptions, write: Callable[[Json], bytes]
) -> Callable[[list[Record]], list[bytes | DataError]]:
    """The block function that turns each record into its case, written by ``write``."""
    from stepkit.view.trace_view import cases

    def block(records: list[Record]) -> list[bytes | DataError]:
        data = [record.data for record in records]
        found = cases(data, [record.place for record in records], options)
        return [case if isinstance(case, DataError) else write(case) for case in found]

    return block


def _coloured(streams: StreamOptions) -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return streams.output == STANDARD and sys.stdout is not None and sys.stdout.isatty()


def _columns() -> int:
    """The width to fill: COLUMNS, else the terminal's; 80 where there is none."""
    try:
        return int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(1).columns or 80
    except (OSError, ValueError):
        return 80
