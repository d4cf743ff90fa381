"""step-pairs --check: rows in; out a line for each mistake that their trainer would not report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from stepkit.errors import DataError, UsageError
from stepkit.runner.run import StreamOptions


def check(
    streams: StreamOptions,
    target: str,
    max_length: int | None = None,
    tokens: Callable[[str], Sequence[int]] | None = None,
    separator: str | None = None,
) -> None:
    """Write ``file:line: finding`` for each finding; a row with one counts as rejected: exit 1.

    A line that is no JSON object is a finding too. What only the whole input shows comes last,
    after the name of the last file.

    Args:
        separator: what the trainer puts after each step, if it is not its default.
    """
    from stepkit.formats.row_checker import RowChecker
    from stepkit.formats.step_separators import NEWLINE
    from stepkit.formats.trainer_registry import SEPARATING
    from stepkit.io.records import BadLine
    from stepkit.runner.open_files import opened

    if streams.tolerant:
        raise UsageError("--on-error and --rejects have no effect with --check")
    if separator is not None and target not in SEPARATING:
        raise UsageError(
            f"--separator has no effect with --check {target}: only {', '.join(SEPARATING)} let "
            "the user choose one between steps"
        )
    checker = RowChecker(target, max_length, tokens, NEWLINE if separator is None else separator)
    bad, place = 0, ""
    with opened(replace(streams, on_error="skip")) as run:
        for block in run.items(streams.limit):
            for item in block:
                place = item.source
                errors = [item.error] if isinstance(item, BadLine) else checker.row(item.data)
                lines = _lines(errors, f"{item.source}:{item.number}")
                run.pending += lines
                bad += bool(lines)
            run.flush()
        whole = _lines(checker.end(), place)
        run.pending += whole
    streams.tally.rejected = bad + len(whole)


def _lines(findings: Iterable[DataError], place: str) -> list[bytes]:
    """One line each, whatever the names of columns hold."""
    texts = (str(finding.at(place)) for finding in findings)
    spelled = ("".join(c if c.isprintable() else repr(c)[1:-1] for c in text) for text in texts)
    return [f"{text}\n".encode("utf-8", "backslashreplace") for text in spelled]
