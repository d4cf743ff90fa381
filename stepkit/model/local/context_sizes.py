"""The sizes of contexts: what is fixed before any input, and what is chosen by it and by memory.

Nothing that is chosen shows in a result: only the plan's limit ends a draw or refuses a request,
and a draw has the same bytes in a context of any size (slot_engine.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from stepkit.errors import UsageError

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
UNTRAINED = 4096
"""The limit where a file does not say what its model was trained for."""
GROWTH = 1.5
"""A context that grows becomes at least so many times as long, so that texts that get longer and
longer do not open one after the other."""
SHARE = 2
"""One part in so many of the free memory is the cache's, where fewer sequences make it fit."""


class ModelFacts(Protocol):
    """What the sizes depend on in a model."""

    @property
    def trained_context(self) -> int: ...
    @property
    def short_rope_context(self) -> int: ...


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
    """Sizes of a context; all decided before its first decode.

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
        if self.unified:
            return f"{self.context} tokens, one text with its branches"
        return f"{self.slots} slots and {self.shelves} shelves of {self.context} tokens"


@dataclass(frozen=True)
class Demand:
    """What a context is for.

    Attributes:
        longest: tokens of the longest request, with what it may draw.
        draws, reads: how many wait or are in flight.
    """

    longest: int
    draws: int = 0
    reads: int = 0


@dataclass(frozen=True)
class ContextPlan:
    """What of a context's sizes is fixed before any input.

    Attributes:
        limit: tokens that end a draw or refuse a request.
        least: the shortest context, a multiple of 256: a model that takes other rope factors in
            longer contexts keeps the one kind for a whole run.
        rope: which kind that is, "short" or "long"; "" for a model that has only one.
        slots: as the user gave them; None: by demand and memory.
        batch: most tokens in one decode.
        threads, exact, unified: see ContextSizes.
    """

    limit: int
    least: int
    slots: int | None
    batch: int
    threads: int
    exact: bool = True
    unified: bool = False
    rope: str = ""

    def sizes(self, demand: Demand, room: int, before: ContextSizes | None = None) -> ContextSizes:
        """The sizes for ``demand``.

        Args:
            room: tokens of cache that fit into the free memory. Where that is not enough for all,
                there are fewer slots and shelves, but never a shorter context.
            before: the context that this one follows.
        """
        needed = context = self._context(demand.longest)
        if before is not None and needed > before.context:
            context = max(needed, self._context(int(before.context * GROWTH)))
        if self.unified:
            return self._for_one_text(needed if context > room else context)
        least = (self.slots or MIN_SLOTS) + 1
        if least * context > room // SHARE:
            context = needed
        slots, shelves = self._wanted(demand.draws, demand.reads, room // SHARE // context)
        outputs = max(OUTPUTS, slots + shelves)
        batch = max(outputs, self.batch)
        return ContextSizes(slots, shelves, context, batch, outputs, self.threads, self.exact)

    def wants(self, draws: int, reads: int) -> tuple[int, int]:
        """Slots and shelves for so many requests, if memory were no matter."""
        return (self.slots or BRANCHES, 1) if self.unified else self._wanted(draws, reads)

    def _wanted(self, draws: int, reads: int, room: int = MAX_SEQUENCES) -> tuple[int, int]:
        """Slots and shelves, which are no more than ``room`` but for those that must be."""
        slots = self.slots
        if slots is None:
            wanted = -(-draws // SLOTS_TOGETHER) * SLOTS_TOGETHER
            slots = max(MIN_SLOTS, min(SLOTS, wanted, room - 1))
        if self.exact:
            slots -= slots % SLOTS_TOGETHER
        shelves = max(slots // 2, min(SLOTS // 2, reads))
        return slots, min(max(1, min(shelves, room - slots)), MAX_SEQUENCES - slots)

    def _context(self, tokens: int) -> int:
        return max(self.least, rounded(min(tokens, self.limit)))

    def _for_one_text(self, context: int) -> ContextSizes:
        batch = max(OUTPUTS, min(context, self.batch))
        slots = self.slots or BRANCHES
        return ContextSizes(
            slots, 1, context, batch, READ_OUTPUTS, self.threads, self.exact, unified=True
        )

    def __str__(self) -> str:
        layout = f"layout: {'exact' if self.exact else 'fast'}, up to {self.limit} tokens"
        rope = f", {self.rope} rope factors" if self.rope else ""
        return f"{layout}{rope}, threads {self.threads}"


def for_drawing(model: ModelFacts, options: ContextOptions, max_tokens: int) -> ContextPlan:
    """The plan for draws of at most ``max_tokens`` (0: nothing is drawn).

    Raises UsageError when an option cannot be met.
    """
    slots = options.slots
    if slots is not None and not MIN_SLOTS <= slots < MAX_SEQUENCES:
        raise UsageError(f"--slots {slots}: expected {MIN_SLOTS} to {MAX_SEQUENCES - 1}")
    limit, least, rope = _limits(model, options, max_tokens)
    batch = UBATCH if options.batch is None else options.batch
    return ContextPlan(limit, least, slots, batch, options.threads, not options.fast, rope=rope)


def for_reading(model: ModelFacts, options: ContextOptions) -> ContextPlan:
    """The plan where nothing is drawn: one cache for a trace and its branches.

    ``--slots`` is how many branches are read at the same time. Raises UsageError when an option
    cannot be met.
    """
    slots = options.slots
    if slots is not None and not 1 <= slots <= BRANCHES:
        raise UsageError(f"--slots {slots}: expected 1 to {BRANCHES}, where nothing is drawn")
    if options.batch is not None and options.batch > ONE_PASS:
        raise UsageError(f"--batch {options.batch}: expected at most {ONE_PASS}")
    limit, least, rope = _limits(model, options, 0)
    batch = options.batch or ONE_PASS
    exact = not options.fast
    return ContextPlan(limit, least, slots, batch, options.threads, exact, unified=True, rope=rope)


def for_reading_like(plan: ContextPlan) -> ContextPlan:
    """The plan for reading texts of the lengths that ``plan`` is for."""
    return replace(plan, slots=None, batch=ONE_PASS, unified=True)


def _limits(model: ModelFacts, options: ContextOptions, max_tokens: int) -> tuple[int, int, str]:
    """The limit, the shortest context, and which rope factors these mean. Raises UsageError.

    The model's own length is the limit, but where longer contexts have other rope factors
    (LongRoPE, Ding et al., arXiv:2402.13753): there it is the length up to which the short ones
    serve, unless the user asks for more.
    """
    trained = model.trained_context
    # llama.cpp rounds a context up, and a longer one would have the long factors
    short = model.short_rope_context // CONTEXT_UNIT * CONTEXT_UNIT
    limit = options.context
    if limit is None:
        limit = trained or max(UNTRAINED, 2 * max_tokens)
        if short and max_tokens < short:
            limit = short
    if limit < 2:
        raise UsageError(f"--context {limit}: expected at least 2 tokens")
    limit = rounded(limit)
    if not short:
        return limit, CONTEXT_UNIT, ""
    if limit > short:
        return limit, rounded(model.short_rope_context + 1), "long"
    return limit, CONTEXT_UNIT, "short"


def rounded(tokens: int) -> int:
    """``tokens`` as llama.cpp rounds the length of a context."""
    return -(-tokens // CONTEXT_UNIT) * CONTEXT_UNIT
