"""An engine with a journal: equal keys are one draw, sampled once, also across a crash.

It stands in front of another engine. Requests that the journal has are answered from there; one
that is in flight, or was answered recently, is not submitted twice; every new result goes to the
journal at once. So a run is resumed by running it again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Protocol

from stepkit.model.engine import (
    Counters,
    Engine,
    FinishedDraw,
    FinishedRequest,
    Readout,
    Request,
    Result,
)


class JournalProtocol(Protocol):
    """What this module needs of a journal."""

    def get(self, key: str) -> Any | None: ...

    def put(self, key: str, value: Any) -> None: ...


REMEMBERED = 4096
"""Results kept for requests that come again soon, like draws of siblings at the empty prefix."""


class RecordedEngine:
    """An Engine (see engine.py) that submits to ``engine`` only requests without a known result."""

    def __init__(self, engine: Engine, journal: JournalProtocol) -> None:
        self._engine = engine
        self._journal = journal
        self._known: deque[FinishedRequest] = deque()
        self._waiting: dict[str, list[Request]] = {}
        self._recent: OrderedDict[str, Result] = OrderedDict()
        self.counters: Counters = engine.counters

    @property
    def pending(self) -> int:
        return len(self._known) + sum(len(requests) for requests in self._waiting.values())

    def submit(self, request: Request) -> None:
        key = journal_key(request)
        result = self._recall(key)
        if result is not None:
            self._known.append(FinishedRequest(request, result))
        elif key in self._waiting:
            self._waiting[key].append(request)
        else:
            self._waiting[key] = [request]
            self._engine.submit(request)

    def step(self) -> list[FinishedRequest]:
        finished = list(self._known)
        self._known.clear()
        if finished:
            return finished
        for done in self._engine.step():
            key = journal_key(done.request)
            if isinstance(done.result, (FinishedDraw, Readout)):
                self._journal.put(key, to_json(done.result))
                self._remember(key, done.result)
            for request in self._waiting.pop(key):
                finished.append(FinishedRequest(request, done.result))
        return finished

    def close(self) -> None:
        self._engine.close()

    def _recall(self, key: str) -> Result | None:
        if key in self._recent:
            return self._recent[key]
        value = self._journal.get(key)
        return None if value is None else from_json(value)

    def _remember(self, key: str, result: Result) -> None:
        self._recent[key] = result
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)


def journal_key(request: Request) -> str:
    """The key of a request in the journal: its own, with the model where there are several."""
    return f"{request.model}/{request.key}" if request.model else request.key


def to_json(result: Result) -> dict[str, Any]:
    """A result as the journal stores it."""
    if isinstance(result, Readout):
        return {"values": result.values}
    return {
        "text": result.text,
        "finish": result.finish,
        "tokens": result.tokens,
        "ids": result.ids,
        "logprob": result.logprob,
        "logprobs": result.logprobs,
        **({"listed": result.listed} if result.listed else {}),
    }


def from_json(value: dict[str, Any]) -> Result:
    """The inverse of to_json."""
    if "values" in value:
        return Readout(tuple(tuple(row) for row in value["values"]))
    ids = value["ids"]
    return FinishedDraw(
        value["text"],
        value["finish"],
        value["tokens"],
        None if ids is None else tuple(ids),
        value["logprob"],
        tuple(value["logprobs"]),
        tuple((text, logprob) for text, logprob in value.get("listed", ())),
    )
