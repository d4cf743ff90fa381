"""The values of the shared options, and the counts of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, Union

from stepkit.errors import DataError

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.runner.console import Progress

STANDARD = "-"
"""Standard input as a file, standard output as the output."""


@dataclass
class RunCounts:
    """Counts of one run: input records, those rejected, output records."""

    read: int = 0
    rejected: int = 0
    written: int = 0


def _unseen() -> Progress:
    """The progress line where nobody looks at it."""
    from stepkit.runner.console import Progress

    return Progress("")


@dataclass(frozen=True)
class StreamOptions:
    """The values of the options of input and output.

    Attributes:
        command: the command's name, with which messages begin.
        files: inputs in order, ``-`` is standard input.
        output: a file, or ``-`` for standard output.
        on_error: ``fail``, ``skip`` or ``reject``.
        rejects: file for rejected lines, with ``reject``.
        limit: stop after this many records (groups, for a command that reads groups).
        shard: (i, n): only the i-th of n parts, by a hash of the group; from 1.
        regroup: sort on disk so that the records of a group are adjacent.
        resume, journal: see io/journal.py.
        window: at most this many records are in work, in a session (record_queue.py).
        tally: the counts, as far as the run is.
        progress: the line that says how far it is.
        head: what was read of standard input before the run (first_record.py).
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
    tally: RunCounts = field(default_factory=RunCounts)
    progress: Progress = field(default_factory=_unseen)
    head: list[bytes] = field(default_factory=list)

    @property
    def tolerant(self) -> bool:
        """True when a bad record does not end the run."""
        return self.on_error != "fail"

    def warn(self, text: str) -> None:
        """Write one line about something unusual to standard error, unless -q was given."""
        if not self.quiet:
            from stepkit.runner.console import say

            say(self.command, text)

    def note(self, text: str) -> None:
        """Write one line about a detail to standard error, when -v was given."""
        if self.verbose:
            from stepkit.runner.console import say

            say(self.command, text)


@dataclass(frozen=True)
class ModelOptions:
    """How a GGUF model is run; None lets the engine choose.

    Attributes:
        model: the file, or None when the command does without.
        gpu_layers: layers on the GPU.
        threads: CPU threads.
        slots: sequences decoded together.
        context: tokens, with the prompt, that end a draw or refuse a request.
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


Result: TypeAlias = Union["list[Record]", DataError]
"""The result of a record: the records to write in its place, or why it is rejected."""
