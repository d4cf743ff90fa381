"""What stands in a journal, and which of it can be trusted. Pure: lines in, places out.

Version 2, one JSON object a line, each with a checksum (checked_lines.py):

    {"stepkit-journal":2,"deciding":{...},"sum":"..."}    the header
    {"stepkit-journal":2,"deciding":{...},"sum":"..."}    the same bytes again
    {"k":KEY,"v":VALUE,"sum":"..."}                       a result, as often as there are

``deciding`` is what decides bytes. The sum of a result also covers the digest of the header, so a
line of a journal with other deciding values is damage. The copies stand next to each other, before
any result: there is never a result without both, and a kill while they are written loses none. One
flipped bit damages one copy at most; in the newline between them it leaves the second, which is
looked for at the end of its line. A later line of a key replaces an earlier one.

Version 1 had no checksums, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from stepkit.errors import DataError, UsageError
from stepkit.io.checked_lines import SHOWN, body_of, seal, unseal
from stepkit.io.jsonl import decode
from stepkit.schema import Json
from stepkit.seeds import digest

MARK = "stepkit-journal"
VERSION = 2
COPIES = 2
"""Of the header."""
HEADER_LINES = 4
"""A header is looked for in so many lines: a byte that became a newline makes three of two."""

_HEAD = b'{"%b":' % MARK.encode()  # in JSON nothing else can look like it: texts escape quotes
_LINE = re.compile(rb'\{"(?:k|%b)":.*,"sum":"[0-9a-f]{16}"\}\n' % MARK.encode())
_NO_OWNER = ""


class LinePlace(NamedTuple):
    """Where a line stands: its first byte, its bytes with the newline, its number from 1."""

    start: int
    size: int
    number: int


@dataclass
class JournalContents:
    """What was found in a journal.

    Attributes:
        deciding: what decides bytes, or None without a header.
        owner: digest of the header.
        places: the line of each key.
        damaged: numbers of the lines that cannot be used, from 1.
        end: bytes of all whole lines.
        lines: how many they are.
        torn: the last line has no end, as after a kill; it is among the damaged.
    """

    deciding: Json | None = None
    owner: str = ""
    places: dict[str, LinePlace] = field(default_factory=dict)
    damaged: list[int] = field(default_factory=list)
    end: int = 0
    lines: int = 0
    torn: bool = False

    @property
    def empty(self) -> bool:
        """True when there is nothing to lose: no result, and no line that was one."""
        return not self.places and len(self.damaged) <= self.torn


def header(deciding: Json) -> tuple[bytes, str]:
    """The first bytes of a journal, and their digest, which owns its lines."""
    line = seal({MARK: VERSION, "deciding": deciding}, _NO_OWNER)
    return line * COPIES, _owner(line)


def row(key: str, value: object, owner: str) -> bytes:
    """The line of a result."""
    return seal({"k": key, "v": value}, owner)


def value_of(line: bytes, key: str, owner: str) -> object | None:
    """The value in the line of ``key``, or None when the line is not that."""
    found = unseal(line, owner)
    return None if found is None or found.get("k") != key else found.get("v")


def scan(lines: Iterable[bytes], path: str) -> JournalContents:
    """Index a journal.

    Args:
        lines: all its lines with their newlines, or the first HEADER_LINES for its header alone.
        path: its name, for messages.

    Raises UsageError for what is no journal, one of another version, and one without a header that
    is whole.
    """
    found, kept = JournalContents(), iter(enumerate(lines, 1))
    first = _read_header(found, kept, path)
    for number, line in kept:
        if not line.endswith(b"\n"):
            found.torn = True
            found.damaged.append(number)
            break
        result = None if line == first else unseal(line, found.owner)
        if result is not None and isinstance(result.get("k"), str) and "v" in result:
            found.places[result["k"]] = LinePlace(found.end, len(line), number)
        elif line != first:
            found.damaged.append(number)
        found.end += len(line)
        found.lines = number
    return found


def _read_header(
    found: JournalContents, lines: Iterator[tuple[int, bytes]], path: str
) -> bytes | None:
    """Find a copy of the header, and return its line; None for the start of a journal."""
    passed: list[bytes] = []
    for number, line in lines:
        if not line.endswith(b"\n"):
            found.torn = True
            passed.append(line)
            break
        found.end += len(line)
        found.lines = number
        copy = line[max(line.rfind(_HEAD), 0) :]
        values = unseal(copy, _NO_OWNER)
        if values is not None and MARK in values and isinstance(values.get("deciding"), dict):
            if values[MARK] != VERSION:
                raise UsageError(_of_another_version(path))
            if copy != line:
                found.damaged.append(number)
            found.deciding, found.owner = values["deciding"], _owner(copy)
            return copy
        found.damaged.append(number)
        passed.append(line)
        if len(passed) == HEADER_LINES:
            break
    if _holds_work(passed, path):
        raise UsageError(f"{path}: is not a stepkit journal; left as it is")
    found.damaged.clear()
    return None


def _holds_work(lines: list[bytes], path: str) -> bool:
    """Whether lines without a header may be worth anything. Raises UsageError where it is known."""
    if not lines:
        return False
    first = lines[0]
    if not first.endswith(b"\n"):  # a kill may leave any prefix of a header
        return not (first.startswith(_HEAD) or _HEAD.startswith(first))
    if _is_first_version(first):
        if len(lines) == 1:
            return False
        raise UsageError(_of_another_version(path))
    if any(map(_LINE.fullmatch, lines)):
        raise UsageError(
            f"{path}: both copies of the header are damaged, so it is not known what its results "
            "belong to; left as it is: to start again, move it away"
        )
    return True


def _is_first_version(line: bytes) -> bool:
    try:
        values = decode(line)
    except DataError:
        return False
    return values.get(MARK) == 1 and values.keys() == {MARK, "deciding"}


def _of_another_version(path: str) -> str:
    return (
        f"{path}: was written by another version of stepkit; left as it is: finish the run with "
        "that version, or remove the journal"
    )


def _owner(line: bytes) -> str:
    return digest(body_of(line), size=16)


def damage(lines: list[int]) -> str:
    """``line 7 is damaged or cut off``; of many lines, the first SHOWN by number, and how many."""
    if len(lines) == 1:
        return f"line {lines[0]} is damaged or cut off"
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    named = ", ".join(map(str, lines[:SHOWN]))
    return f"{len(lines)} lines are damaged or cut off ({named}{more})"
