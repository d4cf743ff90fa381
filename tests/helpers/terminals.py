"""A command on a pseudo-terminal, and when it wrote what there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from work import Workdir


class Shown(NamedTuple):
    """What a command wrote on its terminal.

    Attributes:
        status: its exit status.
        pieces: (seconds since its start, bytes) in the order in which they came.
    """

    status: int
    pieces: list[tuple[float, bytes]]

    @property
    def text(self) -> str:
        return b"".join(piece for _, piece in self.pieces).decode()

    @property
    def lines(self) -> list[str]:
        """Each state that the line had."""
        return self.text.replace("\n", "\r").split("\r")

    def screen(self) -> list[str]:
        """What is left on the screen at the end, line by line."""
        lines = [""]
        for sign in self.text.replace("\r\n", "\n"):
            if sign == "\n":
                lines.append("")
                column = 0
            elif sign == "\r":
                column = 0
            else:
                line = lines[-1].ljust(column)
                lines[-1] = line[:column] + sign + line[column + 1 :]
                column += 1
        return [line.rstrip() for line in lines]

    def longest_silence(self) -> float:
        """Seconds between two writes."""
        times = [at for at, _ in self.pieces]
        return max(later - earlier for earlier, later in pairwise(times))


def on_terminal(
    work: Workdir,
    command: str,
    *args: Any,
    columns: int = 80,
    meanwhile: Callable[[Any, str], None] | None = None,
    **settings: Any,
) -> Shown:
    """Run a command whose standard error is a terminal.

    Args:
        meanwhile: is called with the process and what it has written, after each piece.
        settings: as of Workdir.start.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    settings.setdefault("environment", {"TERM": "xterm"})
    settings.setdefault("stdout", theirs)
    begin = time.monotonic()
    process = work.start(command, *args, stderr=theirs, **settings)
    os.close(theirs)
    pieces: list[tuple[float, bytes]] = []
    try:
        while True:
            ready, _, _ = select.select([ours], [], [], 60)
            assert ready, "nothing for a minute"
            try:
                piece = os.read(ours, 4096)
            except OSError:
                break
            if not piece:
                break
            pieces.append((time.monotonic() - begin, piece))
            if meanwhile is not None:
                meanwhile(process, b"".join(one for _, one in pieces).decode())
        return Shown(process.wait(60), pieces)
    finally:
        os.close(ours)
        process.kill()
        process.wait()
