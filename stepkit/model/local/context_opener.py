"""Opens a model's contexts, each in the sizes that what waits and the free memory call for."""

from __future__ import annotations

import time
from collections.abc import Callable

from stepkit.errors import FailedError
from stepkit.model.local.context import Context
from stepkit.model.local.context_sizes import ContextPlan, ContextSizes, Demand
from stepkit.model.local.free_memory import free_bytes
from stepkit.model.local.llama import Model

BUFFERS = 100 << 20
"""Bytes for intermediate results, which must be free in addition to the cache."""
PATIENCE = 1.0
"""Seconds between two looks at the memory, where a context could have more sequences."""
MIB, GIB = 1 << 20, 1 << 30


class ContextOpener:
    """Opens contexts on ``model`` by ``plan``, one after the other.

    Args:
        note: is told of each choice (-v).
        free: gives the bytes that may still be taken.
    """

    def __init__(
        self,
        model: Model,
        plan: ContextPlan,
        note: Callable[[str], None] = lambda _: None,
        free: Callable[[], int] = free_bytes,
    ) -> None:
        self.model = model
        self.plan = plan
        self._note = note
        self._free = free
        self._looked = 0.0
        self._bytes = max(1, model.cache_bytes_per_token)

    def beside(self, plan: ContextPlan) -> ContextOpener:
        """Another one for the same model."""
        return ContextOpener(self.model, plan, self._note, self._free)

    def open(self, demand: Demand, before: ContextSizes | None = None) -> Context:
        """A context for ``demand`` in the memory that is free; ``before``, which it follows, is
        closed.

        Raises FailedError where no context fits: llama.cpp would abort the process.
        """
        free = self._free()
        sizes = self.plan.sizes(demand, self._room(free), before)
        self._check(sizes, free)
        context = Context(self.model, sizes)
        memory = f"{sizes.cells * self._bytes / MIB:.0f} MiB of cache"
        if not self.model.on_gpu:
            memory += f", {free / GIB:.1f} GiB were free"
        why = f"the longest of {demand.draws + demand.reads} requests has {demand.longest} tokens"
        self._note(f"context: {sizes}, {memory}: {why}")
        return context

    def grows(
        self, sizes: ContextSizes, draws: int, reads: int, longest: Callable[[], int]
    ) -> bool:
        """Whether another context would have twice as many slots or shelves.

        Args:
            sizes: of the context that is open.
            draws, reads: how many wait or are in flight.
            longest: gives the tokens of the longest that waits.
        """
        slots, shelves = self.plan.wants(draws, reads)
        if slots < 2 * sizes.slots and shelves < 2 * sizes.shelves:
            return False
        if time.monotonic() < self._looked + PATIENCE:
            return False
        self._looked = time.monotonic()
        room = self._room(self._free()) + sizes.cells
        other = self.plan.sizes(Demand(longest(), draws, reads), room, None)
        return other.slots >= 2 * sizes.slots or other.shelves >= 2 * sizes.shelves

    def _room(self, free: int) -> int:
        """Tokens of cache that fit into ``free`` bytes, the pages of a mapped file left alone."""
        return max(0, free - BUFFERS - self.model.mapped_bytes) // self._bytes

    def _check(self, sizes: ContextSizes, free: int) -> None:
        needed = sizes.cells * self._bytes
        too_many = sizes.cells >= 1 << 31
        if not too_many and (self.model.on_gpu or needed + BUFFERS <= free):
            return
        lower = "lower --max-tokens, or leave longer requests out with --context"
        if self.plan.unified:
            lower = "leave longer traces out with --context"
        if self.plan.slots is not None:
            lower = f"lower --slots {self.plan.slots}, or {lower}"
        raise FailedError(
            f"no memory for {sizes}: {needed / GIB:.1f} GiB of key-value cache, and "
            f"{free / GIB:.1f} GiB are free; {lower}"
        )
