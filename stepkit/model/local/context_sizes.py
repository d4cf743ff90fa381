"""The sizes of a context: chosen from the model, the machine and the options, never from the input.

The rest of the input is not known when a stream is read, and a result must not depend on it.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from stepkit.errors import FailedError, UsageError

MAX_SEQUENCES = 256  # LLAMA_MAX_SEQ
CONTEXT_UNIT = 256  # llama.cpp rounds the context up to this
UBATCH = 512
READ_UBATCH = 256
"""The same where the cache holds one trace: buffers for 512 would have a third of the size of a
small model (0.3 B, measured), and half as many are as fast."""
MIN_SLOTS, SLOTS_TOGETHER = 8, 4
"""Calls with other numbers of rows round in another way, see prefill.py."""
SLOTS = 32
"""More draws at the same time are hardly faster on a processor: each has its own attention."""
OUTPUTS = 64
"""Rows of logits of one call: 64 x 152k x 4 B = 39 MB when every position is read."""
ONE_PASS = 2048
"""Most tokens of a call that only reads: a trace is one call, which llama.cpp itself cuts."""
READ_OUTPUTS = OUTPUTS + MIN_SLOTS * ONE_PASS // READ_UBATCH
"""The same of a call that only reads, each part of which is filled up to 8."""
BRANCHES = OUTPUTS - 1
"""Branches that are read at the same time, besides the trunk; llama.cpp holds a row of logits for
each."""


class ModelFacts(Protocol):
    """What the sizes depend on in a model."""

    @property
    def trained_context(self) -> int: ...
    @property
    def cache_bytes_per_token(self) -> int: ...
    @property
    def on_gpu(self) -> bool: ...


class ContextOptions(Protocol):
    """The shared model options (see runner.settings.ModelOptions); None is chosen here."""

    @property
    def threads(self) -> int: ...
    @property
    def slots(self) -> int | None: ...
    @property
    def context(self) -> int | None: ...
    @property
    def batch(self) -> int | None: ...
    @property
    def fast(self) -> bool: ...


@dataclass(frozen=True)
class ContextSizes:
    """Sizes of a context; all decided before the first decode.

    Attributes:
        slots: sequences drawn from at the same time; in the exact layout a multiple of 4.
        shelves: further sequences, which keep prefixes for later draws.
        context: tokens per sequence.
        batch: most tokens in one decode.
        outputs: most rows of logits in one decode; no fewer than the sequences, and no more than
            the batch (llama.cpp would abort).
        threads: CPU threads.
        exact: a draw does not depend on what else is in flight (slot_engine.py says how).
        unified: all sequences are in one cache of ``context`` tokens and share the cells of common
            prefixes (read_engine.py); else every sequence has a cache of its own.

    In a unified cache short draws of one prefix are up to a quarter faster, but draws of different
    prompts a third slower, because each row's attention runs over all cells (measured with
    llama.cpp's batched bench, 0.3 B, 32 sequences).
    """

    slots: int
    shelves: int
    context: int
    batch: int
    outputs: int
    threads: int
    exact: bool = True
    unified: bool = False

    @property
    def cells(self) -> int:
        """Tokens that the cache holds."""
        return self.context if self.unified else self.sequences * self.context

    @property
    def ubatch(self) -> int:
        """Tokens that are evaluated together, which the memory for intermediate results is for."""
        return min(self.batch, READ_UBATCH) if self.unified else self.batch

    @property
    def sequences(self) -> int:
        """All sequences: those drawn from first, then the shelves."""
        return self.slots + self.shelves

    def __str__(self) -> str:
        sizes = [f"{name} {value}" for name, value in asdict(self).items() if type(value) is int]
        return f"layout: {'exact' if self.exact else 'fast'}, {', '.join(sizes)}"


def for_drawing(model: ModelFacts, options: ContextOptions, max_tokens: int) -> ContextSizes:
    """The layout for draws of at most ``max_tokens`` (0: nothing is drawn).

    The context is the model's own, at most 4,096 and at least twice the tokens to draw. The slots
    are 32 and the shelves half as many, fewer when their cache would take more than a quarter of
    the memory. Raises UsageError when an option cannot be met.
    """
    context = _context(model, options, max_tokens)
    room = memory_bytes() // 4 // max(1, model.cache_bytes_per_token * context)
    slots = max(MIN_SLOTS, min(SLOTS, room)) if options.slots is None else options.slots
    if not MIN_SLOTS <= slots < MAX_SEQUENCES:
        raise UsageError(f"--slots {slots}: expected {MIN_SLOTS} to {MAX_SEQUENCES - 1}")
    if not options.fast:
        slots -= slots % SLOTS_TOGETHER
    shelves = min(max(1, min(slots // 2, room - slots)), MAX_SEQUENCES - slots)
    outputs = max(OUTPUTS, slots + shelves)
    batch = max(outputs, UBATCH if options.batch is None else options.batch)
    return ContextSizes(slots, shelves, context, batch, outputs, options.threads, not options.fast)


def for_reading(model: ModelFacts, options: ContextOptions) -> ContextSizes:
    """The layout where nothing is drawn: one cache for a trace and its branches.

    ``--slots`` is how many branches are read at the same time. Raises UsageError when an option
    cannot be met.
    """
    context = _context(model, options, 0)
    slots = BRANCHES if options.slots is None else options.slots
    if not 1 <= slots <= BRANCHES:
        raise UsageError(f"--slots {slots}: expected 1 to {BRANCHES}, where nothing is drawn")
    if options.batch is not None and options.batch > ONE_PASS:
        raise UsageError(f"--batch {options.batch}: expected at most {ONE_PASS}")
    batch = max(OUTPUTS, min(context, options.batch or ONE_PASS))
    return ContextSizes(
        slots, 1, context, batch, READ_OUTPUTS, options.threads, not options.fast, unified=True
    )


def for_reading_like(layout: ContextSizes) -> ContextSizes:
    """The layout for reading texts of the lengths that ``layout`` draws."""
    batch = max(OUTPUTS, min(layout.context, ONE_PASS))
    return replace(
        layout, slots=BRANCHES, shelves=1, batch=batch, outputs=READ_OUTPUTS, unified=True
    )


def _context(model: ModelFacts, options: ContextOptions, max_tokens: int) -> int:
    """Tokens per sequence. Raises UsageError."""
    context = options.context
    if context is None:
        context = min(model.trained_context or 4096, max(4096, 2 * max_tokens))
    if context < 2:
        raise UsageError(f"--context {context}: expected at least 2 tokens")
    return -(-context // CONTEXT_UNIT) * CONTEXT_UNIT


def check_room(model: ModelFacts, layout: ContextSizes) -> None:
    """Raise FailedError for a cache that does not fit: llama.cpp would abort the process."""
    needed = layout.cells * model.cache_bytes_per_token
    if layout.cells >= 1 << 31 or (not model.on_gpu and needed > memory_bytes()):
        raise FailedError(
            f"no memory for {layout.sequences} sequences of {layout.context} tokens "
            f"({needed / 2**30:.1f} GiB of key-value cache); lower --slots or --context"
        )


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
