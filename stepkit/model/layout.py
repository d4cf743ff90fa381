"""The sizes of a context: chosen from the model, the machine and the options, never from the work.

What is left to do is not known when a stream is read, and a result must not depend on it.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Protocol

from stepkit.errors import FailedError, UsageError

MAX_SEQUENCES = 256  # LLAMA_MAX_SEQ
CONTEXT_UNIT = 256  # llama.cpp rounds the context up to this
MIN_SLOTS = 8  # a call of fewer rows rounds differently, see slots.py
SLOTS = 32
"""More draws beside each other are hardly faster on a processor: attention is each draw's own."""
OUTPUTS = 64
"""Rows of logits of one call: 64 x 152k x 4 B = 39 MB when every position is read."""


class Facts(Protocol):
    """What is needed to know of a model."""

    @property
    def trained_context(self) -> int: ...
    @property
    def cache_bytes_per_token(self) -> int: ...
    @property
    def on_gpu(self) -> bool: ...


class Options(Protocol):
    """The shared model options (see options.ModelOptions); None is to be chosen."""

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
class Layout:
    """Sizes of a context; all decided before the first decode.

    Attributes:
        slots: sequences drawn from beside each other.
        shelves: further sequences, which keep prefixes for draws to come.
        context: tokens per sequence.
        batch: most tokens in one decode.
        outputs: most rows of logits in one decode; no fewer than the sequences, and no more than
            the batch (llama.cpp would abort).
        threads: CPU threads.
        exact: a draw does not depend on what else is in flight (slots.py says how).

    Every sequence has a cache of its own. In a cache for all, whose common prefixes are common
    cells, short draws of one prefix are up to a quarter faster, but draws of different prompts a
    third slower, because each row's attention runs over all cells (measured with llama.cpp's
    batched bench, 0.3 B, 32 sequences).
    """

    slots: int
    shelves: int
    context: int
    batch: int
    outputs: int
    threads: int
    exact: bool = True

    @property
    def sequences(self) -> int:
        """All sequences: those drawn from first, then the shelves."""
        return self.slots + self.shelves

    def __str__(self) -> str:
        sizes = [f"{name} {value}" for name, value in asdict(self).items() if type(value) is int]
        return f"layout: {'exact' if self.exact else 'fast'}, {', '.join(sizes)}"


def choose(model: Facts, options: Options, max_tokens: int) -> Layout:
    """The layout for draws of at most ``max_tokens`` (0: nothing is drawn).

    The context is the model's own, at most 4,096 and at least twice the tokens to draw. The slots
    are 32 and the shelves half as many, fewer when their cache would take more than a quarter of
    the memory. Raises UsageError when an option cannot be met.
    """
    context = options.context
    if context is None:
        context = min(model.trained_context or 4096, max(4096, 2 * max_tokens))
    if context < 2:
        raise UsageError(f"--context {context}: expected at least 2 tokens")
    context = -(-context // CONTEXT_UNIT) * CONTEXT_UNIT
    room = memory_bytes() // 4 // max(1, model.cache_bytes_per_token * context)
    slots = max(MIN_SLOTS, min(SLOTS, room)) if options.slots is None else options.slots
    if not MIN_SLOTS <= slots < MAX_SEQUENCES:
        raise UsageError(f"--slots {slots}: expected {MIN_SLOTS} to {MAX_SEQUENCES - 1}")
    shelves = min(max(1, min(slots // 2, room - slots)), MAX_SEQUENCES - slots)
    outputs = max(OUTPUTS, slots + shelves)
    batch = max(outputs, 512 if options.batch is None else options.batch)
    return Layout(slots, shelves, context, batch, outputs, options.threads, not options.fast)


def check_room(model: Facts, layout: Layout) -> None:
    """Raise FailedError for a cache that cannot be had: llama.cpp would abort the process."""
    tokens = layout.sequences * layout.context
    needed = tokens * model.cache_bytes_per_token
    if tokens >= 1 << 31 or (not model.on_gpu and needed > memory_bytes()):
        raise FailedError(
            f"no memory for {layout.sequences} sequences of {layout.context} tokens "
            f"({needed / 2**30:.1f} GiB of key-value cache); lower --slots or --context"
        )


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
