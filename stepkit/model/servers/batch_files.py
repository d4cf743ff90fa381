"""Draws by batch files: a file of requests that another program answers, and the file of results.

A line of the request file is a request of OpenAI's batch API; its ``custom_id`` is the draw's key,
so that results are matched with draws in any order, and a draw that is requested twice is written
once. A draw without a result is an error of its record: the strategies that wait for it end, all
others go on, and so one pass finds every draw that is known to be missing. An adaptive method
requests more draws after it has seen results, so it takes several rounds.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from stepkit.errors import DataError, FailedError, UsageError, reason
from stepkit.model.engine import Counters, Draw, FinishedDraw, FinishedRequest, Request
from stepkit.model.servers.completions import OTHER, MalformedResponse, draw_request, finished_draw

ENDPOINT = "/v1/completions"


class MissingAnswerError(DataError):
    """A record that waits for a draw without an answer."""

    def __init__(self) -> None:
        super().__init__("a draw of it has no answer yet")


class _ImmediateEngine(ABC):
    """An Engine (see model/engine.py) that never waits."""

    def __init__(self) -> None:
        self._finished: list[FinishedRequest] = []
        self.counters = Counters()

    @property
    def pending(self) -> int:
        return len(self._finished)

    def submit(self, request: Request) -> None:
        if not isinstance(request, Draw):
            refused = UsageError("batch files hold draws only: what reads a text needs the model")
            self._finished.append(FinishedRequest(request, refused))
            return
        result = self._result(request)
        if isinstance(result, FinishedDraw):
            self.counters.drawn_tokens += result.tokens
        self._finished.append(FinishedRequest(request, result))

    def step(self) -> list[FinishedRequest]:
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        """Drop results that were not taken."""
        self._finished.clear()

    @abstractmethod
    def _result(self, draw: Draw) -> FinishedDraw | MissingAnswerError: ...


class BatchRequests(_ImmediateEngine):
    """Writes a request for every draw, and answers none.

    Args:
        write: called with a whole line.
        model: the name of the model on the server that will answer.

    Attributes:
        count: draws written.
    """

    def __init__(self, write: Callable[[bytes], None], model: str) -> None:
        super().__init__()
        self._write = write
        self._model = model
        self._written: set[str] = set()

    @property
    def count(self) -> int:
        return len(self._written)

    def _result(self, draw: Draw) -> MissingAnswerError:
        if draw.key not in self._written:
            self._written.add(draw.key)
            prompt = bytes(draw.prefix).decode("utf-8", "surrogatepass")
            line = {
                "custom_id": draw.key,
                "method": "POST",
                "url": ENDPOINT,
                "body": draw_request(draw, prompt, self._model, OTHER, True),
            }
            self._write(json.dumps(line).encode() + b"\n")
        return MissingAnswerError()


class BatchResults(_ImmediateEngine):
    """Answers draws from a file of results, in any order.

    Raises UsageError when ``path`` cannot be read, FailedError when a line is no result.

    Attributes:
        missing: keys of the requested draws without a result.
        failed: keys whose result is an error, with its message.
    """

    # Results stay in the file; memory holds a place for each.

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._places: dict[str, tuple[int, int, int]] = {}  # start, size, line number
        self._requested: set[str] = set()
        self.missing: set[str] = set()
        self.failed: dict[str, str] = {}
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"--from-batch {path}: {reason(error)}") from None
        self._index()

    def unknown(self, known: Callable[[str], bool]) -> list[str]:
        """The results that were not requested, except those of draws that are ``known``."""
        return [key for key in self._places if key not in self._requested and not known(key)]

    def _index(self) -> None:
        start = 0
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    key = self._parse(line, number).get("custom_id")
                    if not isinstance(key, str):
                        raise FailedError(f'{self._path}:{number}: a result without "custom_id"')
                    self._places[key] = (start, len(line), number)
                start += len(line)

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise FailedError(f"{self._path}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise FailedError(f"{self._path}:{number}: expected an object")
        return row

    def _result(self, draw: Draw) -> FinishedDraw | MissingAnswerError:
        self._requested.add(draw.key)
        place = self._places.get(draw.key)
        if place is not None:
            start, size, number = place
            line = os.pread(self._descriptor, size, start)
            try:
                return finished_draw(_body(self._parse(line, number)), draw.complete)
            except MalformedResponse as error:
                self.failed[draw.key] = str(error)
        self.missing.add(draw.key)
        return MissingAnswerError()


def _body(row: dict[str, Any]) -> dict[str, Any]:
    """The completion in a result's line. Raises MalformedResponse with the error in its place."""
    error, response = row.get("error"), row.get("response")
    if isinstance(error, dict):
        raise MalformedResponse(str(error.get("message") or error))
    body = response.get("body") if isinstance(response, dict) else None
    if error or not isinstance(response, dict) or not isinstance(body, dict):
        raise MalformedResponse(str(error) if error else "there is no response")
    if response.get("status_code", 200) != 200:
        detail = body.get("error", body)
        message = detail.get("message", detail) if isinstance(detail, dict) else detail
        raise MalformedResponse(f"HTTP {response['status_code']}: {message}")
    return body
