"""JSON over HTTP, and the meaning of a failure: retry, or give up the request or the server.

The only module that imports httpx. load_balancer.py and server_engine.py decide what is retried
where and when. Messages are one line and never contain the key.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from stepkit.errors import UsageError
from stepkit.schema import Json

OPENAI = "api.openai.com"
LONGEST_MESSAGE = 300
END_OF_STREAM = "[DONE]"
CONNECT = 10.0
"""Seconds to wait for a connection."""


class HttpError(Exception):
    """A request without a response. ``str()`` is the reason in one line."""


class RetryableError(HttpError):
    """It may succeed another time, or on another server.

    Attributes:
        status: the HTTP status, or None when there was no complete response.
        wait: seconds to wait by the server's request, or 0.
    """

    def __init__(self, reason: str, status: int | None = None, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.status = status
        self.wait = wait


class RequestRefused(HttpError):
    """The server works, but refuses this request, and would refuse it another time, too."""


class ServerUnusable(HttpError):
    """The server can do nothing for us: a wrong key, no such endpoint or model."""


class HttpClient:
    """Sends requests and keeps connections open. All calls belong to one event loop.

    Args:
        timeout: seconds within which the complete response must arrive.
    """

    # For every request an httpx client goes through all its connections, and for each of them
    # through all again: 10 ms a request at 128 in flight. So each request in flight has its own.

    def __init__(self, timeout: float) -> None:
        import httpx

        self._httpx = httpx
        self._timeout = timeout
        self._free: list[Any] = []
        self._all: list[Any] = []
        self._certificates = httpx.create_ssl_context()

    async def get(self, url: str) -> Json:
        """The JSON object at ``url``. Raises HttpError."""
        return await self._request("GET", url, None)

    async def post(self, url: str, body: Json) -> Json:
        """The JSON object that responds to ``body``. Raises HttpError."""
        return await self._request("POST", url, body)

    async def post_until(self, url: str, body: Json, enough: Callable[[Json], bool]) -> None:
        """Call ``enough`` with each JSON object of the stream that responds to ``body``, until it
        is true: then the connection is closed, and the server stops. A server that does not stream
        sends one object. Raises HttpError.
        """
        with self._response_errors():
            await asyncio.wait_for(self._stream(url, body, enough), self._timeout)

    async def _stream(self, url: str, body: Json, enough: Callable[[Json], bool]) -> None:
        key = key_for(url, os.environ)
        with self._exclusive_client() as client:
            async with client.stream("POST", url, json=body, headers=_headers(key)) as response:
                kind = response.headers.get("Content-Type", "")
                if response.status_code != 200 or not kind.startswith("text/event-stream"):
                    enough(_checked_object(response, await response.aread(), key))
                    return
                async for line in response.aiter_lines():
                    data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                    if data == END_OF_STREAM or (data and enough(_event(data, key))):
                        return

    async def close(self) -> None:
        for client in self._all:
            await client.aclose()

    @contextmanager
    def _exclusive_client(self) -> Iterator[Any]:
        """A client that no other request uses meanwhile."""
        if not self._free:
            client = self._httpx.AsyncClient(
                timeout=self._httpx.Timeout(None, connect=CONNECT),
                verify=self._certificates,
                headers={"User-Agent": "stepkit"},
            )
            self._all.append(client)
            self._free.append(client)
        client = self._free.pop()
        try:
            yield client
        finally:
            self._free.append(client)

    async def _request(self, method: str, url: str, body: Json | None) -> Json:
        key = key_for(url, os.environ)
        with self._response_errors(), self._exclusive_client() as client:
            sent = client.request(method, url, json=body, headers=_headers(key))
            response = await asyncio.wait_for(sent, self._timeout)
        return _checked_object(response, response.content, key)

    @contextmanager
    def _response_errors(self) -> Iterator[None]:
        """Raise RetryableError for what keeps a response from coming."""
        try:
            yield
        except asyncio.TimeoutError:
            raise RetryableError(f"no answer within {self._timeout:g} s") from None
        except self._httpx.HTTPError as error:
            raise RetryableError(_cause(error)) from None


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _without_key(content: bytes, key: str | None) -> bytes:
    """No message of the server, or about it, may contain the key."""
    return content.replace(key.encode(), b"***") if key else content


def _checked_object(response: Any, content: bytes, key: str | None) -> Json:
    """The JSON object in a response. Raises HttpError."""
    content = _without_key(content, key)
    if response.status_code == 200:
        return _object(content)
    raise _error_of_status(response.status_code, response.headers, content, bool(key))


def _event(data: str, key: str | None) -> Json:
    """The JSON object of one event of a stream. Raises RetryableError, also for an error that the
    server sends in its place."""
    content = _without_key(data.encode(), key)
    event = _object(content)
    if event.get("error"):
        raise RetryableError(error_message(content))
    return event


def _object(content: bytes) -> Json:
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RetryableError(
            f"the answer is not a JSON object: {_line(content.decode('utf-8', 'replace'))}"
        )
    return value


def _error_of_status(
    status: int, headers: Mapping[str, str], content: bytes, key: bool
) -> HttpError:
    """The meaning of an HTTP status other than 200; ``key``: one was sent."""
    message = error_message(content)
    reason = f"HTTP {status}{': ' if message else ''}{message}"
    if status in (400, 413, 422):
        return RequestRefused(reason)
    if status in (408, 425, 429) or status >= 500:
        return RetryableError(reason, status, retry_after(headers.get("Retry-After"), time.time()))
    if status in (401, 403) and not key:
        reason += " (the key is taken from STEPKIT_API_KEY)"
    if 300 <= status < 400:
        reason = f"HTTP {status}: it redirects elsewhere: give the URL that answers"
    return ServerUnusable(reason)


def error_message(content: bytes) -> str:
    """The server's own message in the body of an error, as one line; empty when there is none.

    OpenAI's form is {"error": {"message": ...}}; others have "detail" or "message", or a page.
    """
    text = content.decode("utf-8", "replace")
    try:
        value: Any = json.loads(text)
    except ValueError:
        title = re.search(r"<title>(.*?)</title>", text, re.S | re.I)
        return _line(title[1] if title else re.sub(r"<[^>]*>", " ", text))
    for name in ("error", "message", "detail"):
        if isinstance(value, dict) and name in value:
            value = value[name]
    return _line(value if isinstance(value, str) else json.dumps(value))


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 3] + "..."


def _cause(error: BaseException) -> str:
    """Why a connection failed, in the system's words where they can be found."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
            return os.strerror(cause.errno).lower()
        cause = cause.__cause__ or cause.__context__
    return _line(str(error)) or type(error).__name__


def retry_after(header: str | None, now: float) -> float:
    """Seconds to wait by a Retry-After header (RFC 9110, 10.2.3: seconds, or a date); 0 without.

    Args:
        now: the time as time.time() gives it.
    """
    if header is None:
        return 0.0
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (TypeError, ValueError):
        return 0.0


def key_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The API key for a server, from the environment only.

    OPENAI_API_KEY is for OpenAI: many have it set, and no other server is to see it. Raises
    UsageError, which does not show it, for a key that cannot be sent.
    """
    parts = urlsplit(url)
    names = ["STEPKIT_API_KEY"]
    if parts.scheme == "https" and parts.hostname == OPENAI:
        names.append("OPENAI_API_KEY")
    for name in names:
        if key := environment.get(name, "").strip():
            if not key.isascii() or not key.isprintable():
                raise UsageError(f"{name}: not a key: it has characters that cannot be sent")
            return key
    return None


def base_url(given: str) -> str:
    """What the endpoints' names are appended to. Raises UsageError for what is no server's URL."""
    try:
        parts = urlsplit(given)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"--server: not a URL: {error}") from None
    if parts.username or parts.password:
        raise UsageError("--server: a name or password in the URL; the key is in STEPKIT_API_KEY")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"--server {given}: expected a URL like http://localhost:8000")
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"
