"""What the shared options gather, and the counts of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, Union

from stepkit.errors import DataError

if TYPE_CHECKING:
    from stepkit.jsonl import Record

STANDARD = "-"
"""Standard input as a file, standard output as the output."""


@dataclass
class Tally:
    """Counts of one run: input records, those rejected, output records."""

    read: int = 0
    rejected: int = 0
    written: int = 0


@dataclass(frozen=True)
class Streams:
    """What the shared options gathered.

    Attributes:
        command: the command's name, with which messages begin.
        files: inputs in order, ``-`` is standard input.
        output: a file, or ``-`` for standard output.
        on_error: ``fail``, ``skip`` or ``reject``.
        rejects: file for rejected lines, with ``reject``.
        limit: stop after this many records (groups, for a command that reads groups).
        shard: (i, n): only the i-th of n parts, by a hash of the group; from 1.
        regroup: sort on disk so that the records of a group are adjacent.
        resume, journal: see journal.py.
        window: at most this many records are taken and not yet written, in a session.
        tally: the counts, as far as the run is.
    """

    command: str
    files: tuple[str, ...] = (STANDARD,)
    output: str = STANDARD
    on_error: str = "fail"
    rejects: str | None = None
    limit: int | None = None
    shard: tuple[int, int] | None = None
    quiet: bool = False
    verbose: bool = False
    regroup: bool = False
    resume: bool = False
    journal: str | None = None
    window: int = 64
    tally: Tally = field(default_factory=Tally)

    @property
    def tolerant(self) -> bool:
        """True when a bad record does not end the run."""
        return self.on_error != "fail"

    def warn(self, text: str) -> None:
        """Tell people something unusual, unless -q was given."""
        if not self.quiet:
            from stepkit.progress import say

            say(self.command, text)

    def note(self, text: str) -> None:
        """Tell people a detail, when -v was given."""
        if self.verbose:
            from stepkit.progress import say

            say(self.command, text)


Result: TypeAlias = Union["list[Record]", DataError]
"""What becomes of a record: the records to write in its place, or why it is rejected."""
