"""Lines with a checksum: what was stored comes back as it was, or not at all.

A flipped bit often leaves valid JSON behind: another digit, another letter. So a line is a JSON
object whose last entry is a checksum, here called ``sum``, of all bytes before it and of what the
line belongs to:

    {"k":KEY,"v":VALUE,"sum":"16 hexadecimal digits"}

The sum is BLAKE2b of 64 bits (RFC 7693; seeds.py:digest): it is compared byte by byte, so a line is
good only as it was written. The owner in it tells a line from one of another journal or cache.
"""

from __future__ import annotations

from collections.abc import Callable

from stepkit.errors import DataError
from stepkit.io.jsonl import decode, encode
from stepkit.schema import Json
from stepkit.seeds import digest

SHOWN = 10
"""Damaged places that are named one by one."""


def seal(row: Json, owner: str) -> bytes:
    """The line of ``row`` (which has entries), with its checksum and a newline.

    Args:
        owner: what the line belongs to; it is not in the line.

    Raises DataError as jsonl.encode.
    """
    body = encode(row)[:-1]
    return body + _tail(body, owner)


def unseal(line: bytes, owner: str) -> Json | None:
    """The row of a line that seal wrote for ``owner``, or None when any byte of it differs."""
    body = body_of(line)
    if line[len(body) :] != _tail(body, owner):
        return None
    try:
        row = decode(line)
    except DataError:  # deeper than a reader goes: never used, so it is as good as damaged
        return None
    del row["sum"]
    return row


def body_of(line: bytes) -> bytes:
    """The bytes of a line that its checksum is of."""
    return line[:-_TAIL]


def _tail(body: bytes, owner: str) -> bytes:
    return b',"sum":"%b"}\n' % digest(owner, body).encode()


_TAIL = len(_tail(b"", ""))


class DamageReport:
    """Says which stored results were damaged: the first SHOWN by name, and in the end how many.

    Args:
        warn: takes one line.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._count = 0

    def add(self, place: str) -> None:
        """Name a place whose result is made again."""
        self._count += 1
        if self._count <= SHOWN:
            self._warn(f"{place}: is damaged, or of an older stepkit; made again")

    def finish(self) -> None:
        """Say how many there were, if not all were named."""
        if self._count > SHOWN:
            self._warn(f"{self._count} stored results were damaged and made again")
        self._count = 0
