"""step-rerank's work on records: the attempts of a group ranked, each with its reasons."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from stepkit.cli.actions.record_fields import with_version
from stepkit.cli.options.aggregate import check_aggregate, check_map
from stepkit.core import selection
from stepkit.core.selection import METHODS, EarlyErrorFilter, SelectionSettings, VoteMap
from stepkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record


def settings_of(
    by: str,
    aggregate: str | None,
    score: str | None,
    longest: int | None,
    drop_before: str | None,
    label: str | None,
    mapped: VoteMap | None = None,
) -> SelectionSettings:
    """The settings of a selection.

    Raises UsageError for options that have no effect, or are missing.
    """
    _check_use(by, {"--aggregate": aggregate, "--score": score, "--longest": longest})
    if label is not None and drop_before is None:
        raise UsageError("--label has no effect without --drop-before")
    early = None if drop_before is None else _early(drop_before, label)
    check_map(mapped, by, "--by")
    votes = [by] if METHODS[by].votes else []
    checked_aggregate = check_aggregate(aggregate or "min", votes, "--by", mapped)
    return SelectionSettings(by, checked_aggregate, score, longest or 0, early, mapped)


class GroupRanking:
    """The group function: the records that are kept of a group, each with its reasons."""

    def __init__(self, settings: SelectionSettings, keep: int | None) -> None:
        self._settings = settings
        self._read = selection.candidate_reader(settings)
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
                kept.append(with_version(record))
        return kept


def _same(a: str, b: str) -> bool:
    from stepkit.grade import same_answer

    return same_answer(a, b)


def _check_use(by: str, given: dict[str, object]) -> None:
    """Refuse options that the method does not use, and the lack of one that it needs."""
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
