"""An engine with a journal: equal keys are one draw, sampled once, also across a crash.

It stands in front of another engine. Requests that the journal has are answered from there; one
that is in flight, or was answered recently, is not submitted twice; every new result goes to the
journal at once. So a run is resumed by running it again. What the journal has is checked: a result
of wrong types, or of another kind of request, is refused there and made again.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Any, Protocol

from stepkit.model.engine import (
    Counters,
    DistributionSummary,
    Engine,
    FinishedDraw,
    FinishedRequest,
    Read,
    Readout,
    Request,
    Result,
)


class JournalProtocol(Protocol):
    """What this module needs of a journal."""

    def get(self, key: str) -> Any | None: ...

    def put(self, key: str, value: Any) -> None: ...

    def refuse(self, key: str) -> None:
        """The value of ``key`` is none that was put there."""
        ...

    def report(self) -> None:
        """Say what is left to say of refused values."""
        ...


REMEMBERED = 4096
"""Results kept for requests that come again soon, like draws of siblings at the empty prefix."""

REQUIRED = {"text", "finish", "tokens", "ids", "logprob", "logprobs"}
"""Entries of a stored draw."""

_SUMMARY = len(DistributionSummary._fields)

FINISHES = ("stop", "length", "until")
"""How a draw ends."""


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
        result = self._recall(key, request)
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
            self.counters.ended += isinstance(done.result, FinishedDraw)
            if isinstance(done.result, (FinishedDraw, Readout)):
                self._journal.put(key, to_json(done.result))
                self._remember(key, done.result)
            for request in self._waiting.pop(key):
                finished.append(FinishedRequest(request, done.result))
        return finished

    def close(self) -> None:
        self._journal.report()
        self._engine.close()

    def _recall(self, key: str, request: Request) -> Result | None:
        if key in self._recent:
            return self._recent[key]
        value = self._journal.get(key)
        if value is None:
            return None
        result = from_json(value)
        if result is None or not answers(request, result):
            self._journal.refuse(key)
            return None
        return result

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
        **({"summaries": result.summaries} if result.summaries else {}),
    }


def from_json(value: object) -> Result | None:
    """The inverse of to_json; None for what it never gives: missing entries, wrong types."""
    if not isinstance(value, dict):
        return None
    if "values" in value:
        rows = value["values"]
        if isinstance(rows, list) and all(map(_is_numbers, rows)):
            return Readout(tuple(map(tuple, rows)))
        return None
    if not value.keys() >= REQUIRED:
        return None
    text, ids, logprob, logprobs = (value[name] for name in ("text", "ids", "logprob", "logprobs"))
    listed: Any = value.get("listed", [])
    summaries: Any = value.get("summaries", [])
    if (
        isinstance(text, str)
        and value["finish"] in FINISHES
        and _is_count(value["tokens"])
        and (ids is None or (isinstance(ids, list) and all(map(_is_count, ids))))
        and (logprob is None or _is_number(logprob))
        and _is_numbers(logprobs)
        and isinstance(listed, list)
        and all(map(_is_listed, listed))
        and isinstance(summaries, list)
        and all(_is_numbers(row) and len(row) == _SUMMARY for row in summaries)
    ):
        return FinishedDraw(
            text,
            value["finish"],
            value["tokens"],
            None if ids is None else tuple(ids),
            logprob,
            tuple(logprobs),
            tuple(map(tuple, listed)),
            tuple(map(tuple, summaries)),
        )
    return None


def answers(request: Request, result: Result) -> bool:
    """Whether ``result`` has the form of an answer to ``request``: a draw, or rows of numbers, one
    a position, each of the width that was asked for or empty (see Readout)."""
    if not isinstance(request, Read):
        if not isinstance(result, FinishedDraw):
            return False
        return not request.summaries or len(result.summaries) == result.tokens
    if not isinstance(result, Readout):
        return False
    rows = len(request.positions) + sum(len(branch.read_at) for branch in request.branches)
    width = len(request.candidates) or 1
    if request.head is not None and not request.candidates:
        width = request.head.outputs
    elif request.summary and not request.candidates:
        width = _SUMMARY
    return len(result.values) == rows and {len(row) for row in result.values} <= {0, width}


def _is_number(value: object) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _is_numbers(values: object) -> bool:
    return isinstance(values, list) and all(map(_is_number, values))


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_listed(pair: object) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and _is_number(pair[1])
    )
