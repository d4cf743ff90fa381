"""An engine over servers: draws as completions, many in flight, balanced and retried.

One event loop, run by ``step`` in the caller's thread, so that there is no thread to stop and no
lock to take: it runs until something has finished, and at most TURN seconds, so that records that
arrive meanwhile are read and an interrupt is noticed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from stepkit import interrupts
from stepkit.errors import DataError, FailedError, StepkitError, UsageError
from stepkit.model.engine import Counters, Draw, FinishedDraw, FinishedRequest, Request, Result
from stepkit.model.servers.completions import (
    KINDS,
    MalformedResponse,
    StreamedCompletion,
    check_readable,
    check_request,
    draw_request,
    echo_request,
    echoed_readout,
    finished_draw,
    listed_tokens,
)
from stepkit.model.servers.http import HttpClient, RequestRefused, RetryableError, ServerUnusable
from stepkit.model.servers.load_balancer import LoadBalancer, Server

INTERRUPTING = (KINDS["me"],)
"""Kinds of servers that break off a stream when the next request arrives."""
TURN = 0.1
LONG_WAIT = 30.0
"""Seconds from which on the user is warned that a server asks to wait."""

T = TypeVar("T")


@dataclass(frozen=True)
class ServedModel:
    """The common properties of the servers, and how requests are sent to them.

    Attributes:
        kind: of server, see completions.KINDS.
        tokens: prefixes are token ids, and the servers take these; else they are bytes of text.
        logprobs: they give the log-probabilities of the tokens that they draw.
        concurrency: requests in flight, over all servers.
        timeout: seconds for a response.
        retries: failures in a row after which a server is given up.
    """

    kind: str
    tokens: bool
    logprobs: bool
    concurrency: int
    timeout: float
    retries: int


class ServerEngine:
    """An Engine (see model/engine.py) over ``servers``, which all serve the same model.

    Args:
        warn: called with one line for every server that is given up.
    """

    def __init__(
        self, service: ServedModel, servers: Sequence[Server], warn: Callable[[str], None]
    ) -> None:
        self._service = service
        self._servers = servers
        self._balance = LoadBalancer(servers, service.retries, random.random)
        self._warn = warn
        self._loop = asyncio.new_event_loop()
        self._client = HttpClient(service.timeout)
        self._waiting: deque[Request] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished: list[FinishedRequest] = []
        self._bug: Exception | None = None
        self._arrived = asyncio.Event()
        self._changed = asyncio.Event()
        self.counters = Counters()

    @property
    def pending(self) -> int:
        return len(self._waiting) + len(self._tasks) + len(self._finished)

    def submit(self, request: Request) -> None:
        self._waiting.append(request)

    def step(self) -> list[FinishedRequest]:
        """Raises Interrupted, at most TURN seconds after the signal."""
        if not self.pending:
            return []
        with interrupts.deferred():
            self._loop.run_until_complete(self._turn())
        if self._bug is not None:
            raise self._bug
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        """Drop the requests in flight."""
        if self._loop.is_closed():
            return
        with interrupts.deferred():
            self._loop.run_until_complete(self._stop())
        self._loop.close()

    async def _turn(self) -> None:
        while self._waiting and len(self._tasks) < self._service.concurrency:
            task = asyncio.ensure_future(self._run(self._waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.counters.in_flight = len(self._tasks)
        if not self._finished:
            await _within(TURN, self._arrived.wait())
        self._arrived.clear()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _run(self, request: Request) -> None:
        try:
            result: Result | StepkitError = await self._result(request)
        except StepkitError as error:
            result = error
        except Exception as error:
            self._bug = error  # it must end the run, not only this task
            self._arrived.set()
            return
        if isinstance(result, FinishedDraw):
            self.counters.drawn_tokens += result.tokens
        elif not isinstance(result, StepkitError):
            self.counters.read_tokens += sum(map(len, result.values))
        self._finished.append(FinishedRequest(request, result))
        self._arrived.set()

    async def _result(self, request: Request) -> Result:
        """Send it until a server responds. Raises DataError when none can answer this request
        alone, FailedError when none is left."""
        body, read = self._body(request)
        failures = 0
        while True:
            server = await self._ready()
            started = time.monotonic()
            checked = not server.failures
            try:
                if not checked:
                    # repeated failures are the server's fault if it fails a small check, too
                    await self._post(server, check_request(server.model))
                    checked = True
                    self._balance.recovered(server)
                    self._change()
                result = read(await self._answer(server, request, body))
            except RequestRefused as error:
                self._balance.answered(server)
                if checked:
                    raise DataError(f"the server refuses it: {error}") from None
            except ServerUnusable as error:
                self._balance.drop(server, str(error))
            except (RetryableError, MalformedResponse) as error:
                self._failed(server, error, started)
                failures += checked and not _busy(error)
            else:
                self._balance.answered(server)
                return result
            finally:
                self._change()
            self._note_dropped()
            if failures >= self._service.retries and self._balance.alive:
                raise DataError(f"no answer to it in {failures} attempts: {server.why}")

    async def _post(self, server: Server, body: dict[str, Any]) -> dict[str, Any]:
        return await self._client.post(f"{server.url}/completions", {**body, "model": server.model})

    async def _answer(
        self, server: Server, request: Request, body: dict[str, Any]
    ) -> dict[str, Any]:
        """The response to a request. A draw that its text may end is read token by token, so that
        the server stops with it, where the server can do that."""
        streams = self._service.kind not in INTERRUPTING
        if not isinstance(request, Draw) or request.complete is None or not streams:
            return await self._post(server, body)
        streamed = StreamedCompletion(request.complete)
        url = f"{server.url}/completions"
        asked = {**body, "model": server.model, "stream": True}
        await self._client.post_until(url, asked, streamed.add)
        return streamed.response()

    def _failed(
        self, server: Server, error: RetryableError | MalformedResponse, started: float
    ) -> None:
        wait = error.wait if isinstance(error, RetryableError) else 0.0
        now = time.monotonic()
        if wait >= LONG_WAIT and server.rests_until < now + wait - 1.0:
            self._warn(f"{server.url}: asks to wait {wait:.0f} s: {error}")
        self._balance.failed(server, str(error), started=started, now=now, wait=wait)

    def _body(self, request: Request) -> tuple[dict[str, Any], Callable[[Any], Result]]:
        """The body to send for a request, and the reader of the response. Raises UsageError for a
        request beyond the protocol."""
        service = self._service
        if isinstance(request, Draw):
            prompt = list(request.prefix) if service.tokens else _text(request.prefix)
            read = partial(
                _with_listed if request.listed else finished_draw, complete=request.complete
            )
            return draw_request(request, prompt, "", service.kind, service.logprobs), read
        check_readable(request)
        if service.tokens:
            raise UsageError("servers are asked in token ids, and these are only drawn from")
        text, positions = bytes(request.ids), request.positions
        return echo_request(_text(request.ids), ""), lambda answer: echoed_readout(
            answer, text, positions
        )

    async def _ready(self) -> Server:
        """A server for a request, as soon as there is one. Raises FailedError when none is left."""
        while True:
            if not self._balance.alive:
                reasons = "; ".join(f"{server.url}: {server.why}" for server in self._servers)
                raise FailedError(f"no server is left: {reasons}")
            now = time.monotonic()
            server = self._balance.pick(now)
            if server is not None:
                return server
            await _within(self._balance.wait(now), self._changed.wait())

    def _change(self) -> None:
        """Wake the requests that wait for a server."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _note_dropped(self) -> None:
        """Warn once of each server that was given up, unless all were."""
        alive = self._balance.alive
        for server in self._servers:
            if server.dropped and not server.reported:
                server.reported = True
                if alive:
                    self._warn(f"{server.url}: given up: {server.why}; {len(alive)} left")


def _with_listed(
    answer: dict[str, Any], complete: Callable[[str], bool] | None = None
) -> FinishedDraw:
    return replace(finished_draw(answer, complete), listed=listed_tokens(answer))


def _busy(error: Exception) -> bool:
    """Whether the server is only busy, which is no failure of the request."""
    return isinstance(error, RetryableError) and error.status in (429, 503)


def _text(prefix: tuple[int, ...]) -> str:
    """The text that a prefix of bytes stands for."""
    return bytes(prefix).decode("utf-8", "surrogatepass")


async def _within(seconds: float | None, waiting: Coroutine[Any, Any, T]) -> None:
    """Wait for ``waiting``, but at most so long."""
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(waiting, seconds)
