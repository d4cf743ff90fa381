"""Several models in one process, as one engine: a policy and the verifier that judges its steps.

Each request names the model that is asked (engine.py); each model has an engine of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from stepkit.model.engine import Counters, Engine, Finished, Request


class Several:
    """An Engine (see engine.py) that hands each request to the engine of the model it names."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines = dict(engines)
        self.counters = Counters()
        for engine in self._engines.values():
            engine.counters = self.counters

    @property
    def pending(self) -> int:
        return sum(engine.pending for engine in self._engines.values())

    def submit(self, request: Request) -> None:
        self._engines[request.model].submit(request)

    def step(self) -> list[Finished]:
        """Let every engine that has something to do work for about one decode."""
        finished = []
        for engine in self._engines.values():
            if engine.pending:
                finished += engine.step()
        return finished

    def close(self) -> None:
        for engine in self._engines.values():
            engine.close()
