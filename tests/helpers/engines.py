"""Engines on a loaded model, and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stepkit.errors import StepkitError
from stepkit.model.engine import Engine, Request, Result
from stepkit.model.local.context_opener import ContextOpener
from stepkit.model.local.context_sizes import CONTEXT_UNIT, ContextPlan, ContextSizes, Demand
from stepkit.model.local.cpu_lock import NoCpuLock
from stepkit.model.local.llama import Model
from stepkit.model.local.slot_engine import SlotEngine

KINDS = ("F32", "F16", "Q8_0", "Q4_0", "Q4_K_M", "Q6_K")


def layout(slots: int, context: int, shelves: int = 4, **more: bool) -> ContextSizes:
    """One thread: others may be busy here."""
    most = max(64, slots + shelves)
    return ContextSizes(slots, shelves, context, batch=most, outputs=most, threads=1, **more)


@dataclass(frozen=True)
class FixedPlan(ContextPlan):
    """A plan that always has the same sizes for draws."""

    fixed: ContextSizes | None = None

    def sizes(self, demand: Demand, room: int, before: ContextSizes | None = None) -> ContextSizes:
        if self.unified or self.fixed is None:
            return super().sizes(demand, room, before)
        return self.fixed


def fixed_plan(sizes: ContextSizes) -> ContextPlan:
    """The plan that always has ``sizes``."""
    return FixedPlan(
        sizes.context, CONTEXT_UNIT, sizes.slots, sizes.batch, 1, sizes.exact, fixed=sizes
    )


def engine_on(model: Model, sizes: ContextSizes) -> SlotEngine:
    return SlotEngine(ContextOpener(model, fixed_plan(sizes)), NoCpuLock())


def finish(engine: Engine, requests: Sequence[Request]) -> dict[str, Result | StepkitError]:
    for request in requests:
        engine.submit(request)
    results = {}
    while engine.pending:
        for finished in engine.step():
            results[finished.request.key] = finished.result
    return results
