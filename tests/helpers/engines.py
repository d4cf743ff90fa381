"""Engines on a loaded model, and their results."""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.errors import StepkitError
from stepkit.model.engine import Engine, Request, Result
from stepkit.model.local.context import Context
from stepkit.model.local.context_sizes import ContextSizes
from stepkit.model.local.cpu_lock import NoCpuLock
from stepkit.model.local.llama import Model
from stepkit.model.local.slot_engine import SlotEngine

KINDS = ("F32", "F16", "Q8_0", "Q4_0", "Q4_K_M", "Q6_K")


def layout(slots: int, context: int, shelves: int = 4, **more: bool) -> ContextSizes:
    """One thread: others may be busy here."""
    most = max(64, slots + shelves)
    return ContextSizes(slots, shelves, context, batch=most, outputs=most, threads=1, **more)


def engine_on(model: Model, sizes: ContextSizes) -> SlotEngine:
    return SlotEngine(Context(model, sizes), NoCpuLock())


def finish(engine: Engine, requests: Sequence[Request]) -> dict[str, Result | StepkitError]:
    for request in requests:
        engine.submit(request)
    results = {}
    while engine.pending:
        for finished in engine.step():
            results[finished.request.key] = finished.result
    return results
