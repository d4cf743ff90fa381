"""Several models in one process, as one engine: a policy and the verifier that judges its steps.

Each request names its model (engine.py); each model has an engine of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stepkit.model.engine import Counters, Engine, FinishedRequest, Request


def name_in_group(group: str, model: str) -> str:
    """The name of a model in a group of models, whose first one has no name of its own."""
    return f"{group}/{model}" if model else group


def open_all(opens: Mapping[str, Callable[[], Engine]]) -> MultiEngine:
    """The engines of several models, opened, as one."""
    return MultiEngine({model: open_engine() for model, open_engine in opens.items()})


class MultiEngine:
    """An Engine (see engine.py) that submits each request to the engine of the model it names."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self.engines = dict(engines)
        self.counters = Counters()
        for engine in self.engines.values():
            engine.counters = self.counters

    @property
    def pending(self) -> int:
        return sum(engine.pending for engine in self.engines.values())

    def submit(self, request: Request) -> None:
        self.engines[request.model].submit(request)

    def step(self) -> list[FinishedRequest]:
        """Let every engine with pending requests work for about one decode."""
        finished = []
        for engine in self.engines.values():
            if engine.pending:
                finished += engine.step()
        return finished

    def close(self) -> None:
        for engine in self.engines.values():
            engine.close()
