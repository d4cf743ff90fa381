"""What a server is: which model it serves, and what it can do.

Its kind is recognised by the owner of its models (see completions.KINDS). What it can do is tried
with a few tokens, because servers accept parameters that they do not know, or respond to them with
a status that explains nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from stepkit import interrupts
from stepkit.activity import activity
from stepkit.errors import FailedError, UsageError
from stepkit.model.servers.byte_vocabulary import name_of
from stepkit.model.servers.completions import (
    KINDS,
    OTHER,
    PROBE,
    MalformedResponse,
    check_request,
    echo_request,
    echoes,
    finished_draw,
)
from stepkit.model.servers.http import (
    HttpClient,
    HttpError,
    RequestRefused,
    RetryableError,
    ServerUnusable,
)
from stepkit.model.servers.load_balancer import FIRST_REST

CANNOT = (500, 501)
"""Statuses by which some servers say that they do not know a parameter."""

T = TypeVar("T")


class ProbeOptions(Protocol):
    """The shared server options (see runner.settings.ServerOptions)."""

    @property
    def urls(self) -> tuple[str, ...]: ...
    @property
    def served(self) -> str | None: ...
    @property
    def concurrency(self) -> int: ...
    @property
    def timeout(self) -> float: ...
    @property
    def retries(self) -> int: ...


@dataclass(frozen=True)
class ServerFacts:
    """The properties of a server.

    Attributes:
        model: its name of the model.
        kind: of server, see completions.KINDS.
        tokens: it takes prompts of token ids.
        logprobs: it gives the log-probabilities of the tokens that it draws.
        echo: it gives those of a prompt, too.
        probe_tokens: how many tokens PROBE has there, or None when it does not say.
    """

    model: str
    kind: str
    tokens: bool
    logprobs: bool
    echo: bool
    probe_tokens: int | None


@dataclass(frozen=True)
class ServerProbe:
    """What to try.

    Attributes:
        ids: PROBE's token ids, to try whether a server takes token ids; or None.
        echo: try whether it gives the log-probabilities of a prompt.
    """

    ids: list[int] | None = None
    echo: bool = False


def probe_servers(
    urls: list[str], options: ProbeOptions, probe: ServerProbe, warn: Callable[[str], None]
) -> dict[str, ServerFacts]:
    """The properties of each server that can be used, by its URL.

    Raises FailedError when none can be used, UsageError when one does not have the model.
    """

    async def probe_all() -> list[ServerFacts | BaseException]:
        client = HttpClient(options.timeout)
        try:
            probes = [_probe_server(client, url, options, probe) for url in urls]
            return await asyncio.gather(*probes, return_exceptions=True)
        finally:
            await client.close()

    found: dict[str, ServerFacts] = {}
    reasons = []
    with activity(f"asking {', '.join(urls)}"):
        answers = _run(probe_all())
    for url, result in zip(urls, answers, strict=True):
        if isinstance(result, ServerFacts):
            found[url] = result
        elif isinstance(result, (HttpError, MalformedResponse)):
            reasons.append(f"{url}: {result}")
        else:
            raise result
    if not found:
        raise FailedError(f"no server can be used: {'; '.join(reasons)}")
    for reason in reasons:
        warn(f"{reason}; left out")
    return found


def _run(asking: Coroutine[Any, Any, T]) -> T:
    """Run to the end in an event loop of its own that notices interrupts."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(asking)
    try:
        while not task.done():
            with interrupts.deferred():
                loop.run_until_complete(asyncio.wait({task}, timeout=0.1))
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            with interrupts.deferred():
                loop.run_until_complete(asyncio.wait({task}))
        loop.close()


async def _probe_server(
    client: HttpClient, url: str, options: ProbeOptions, probe: ServerProbe
) -> ServerFacts:
    """Find out what a server is. Raises HttpError or MalformedResponse when it cannot be used,
    UsageError when it does not have the model."""
    model, kind = await _model(client, url, options)
    ask = partial(client.post, f"{url}/completions")
    body = check_request(model, 4)
    try:
        answer = await _with_retries(partial(ask, {**body, "logprobs": 1}), options.retries)
    except (RequestRefused, RetryableError) as error:
        if isinstance(error, RetryableError) and error.status not in CANNOT:
            raise
        answer = await _with_retries(partial(ask, body), options.retries)
    one = finished_draw(answer)
    tokens = echo = False
    with suppress(RequestRefused, RetryableError, MalformedResponse):
        if probe.ids is not None:
            finished_draw(await ask(check_request(model, 4, probe.ids)))
            tokens = True
        if probe.echo:
            echo = echoes(answer, await ask(echo_request(PROBE + one.text, model)), PROBE)
    usage = answer.get("usage")
    count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    probe_tokens = count if type(count) is int else None
    return ServerFacts(model, kind, tokens, one.logprob is not None, echo, probe_tokens)


async def _model(client: HttpClient, url: str, options: ProbeOptions) -> tuple[str, str]:
    """The server's own name of the model, and the kind of server."""
    try:
        listed = await _with_retries(lambda: client.get(f"{url}/models"), options.retries)
    except ServerUnusable:
        if options.served is None:
            raise
        return options.served, OTHER
    rows = listed.get("data")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    kinds = {
        str(row["id"]): KINDS.get(str(row.get("owned_by")), OTHER) for row in rows if "id" in row
    }
    if options.served is not None:
        fits = [name for name in kinds if options.served in (name, name_of(name))]
    else:
        fits = list(kinds)
    if len(fits) == 1:
        return fits[0], kinds[fits[0]]
    names = ", ".join(sorted(map(name_of, kinds))[:8]) or "nothing"
    if options.served is not None:
        raise UsageError(f"--served {options.served}: {url} has no such model; it serves {names}")
    raise UsageError(f"--server {url} serves {names}: choose one with --served NAME")


async def _with_retries(send: Callable[[], Awaitable[T]], retries: int) -> T:
    """``send`` until there is a response: a server may still be loading its model.

    A server that is not there, or responds with 500, is not tried again.
    """
    for attempt in range(retries):
        try:
            return await send()
        except RetryableError as error:
            if error.status in CANNOT or error.status is None or attempt == retries - 1:
                raise
            rest = FIRST_REST * 2.0**attempt * (0.5 + 0.5 * random.random())
            await asyncio.sleep(max(rest, error.wait))
    raise AssertionError("retries is at least 1")
