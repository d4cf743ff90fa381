"""Servers on loopback: the real llama-cpp-python one, and one that fails on demand."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from work import ROOT

from stepkit.schema import Json

POLICY = ROOT / "samples" / "models" / "policy.gguf"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def llama_server(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL and process of a server of the sample policy."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / f"server-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "llama_cpp.server", "--model", str(POLICY), "--n_ctx", "512",
             "--host", "127.0.0.1", "--port", str(port), "--n_threads", "1", *options],
            stdout=file, stderr=file, env={**os.environ, "NO_PROXY": "*"},
        )  # fmt: skip
    try:
        _wait_for(url, process, log)
        yield url, process
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 180
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            opener.open(f"{url}/v1/models", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


@dataclass
class Reply:
    """What to answer: a status and a body; or, by ``how``, to hang or to be cut off."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    how: str = ""


Behaviour = Callable[[int, Json], "Reply | None"]
"""Number of the draw's request (from 0) and its body -> the reply, or None for a good one."""


def pieces_of(body: Json) -> list[str]:
    """What the server draws: it depends on prompt and seed only."""
    answer = sum(map(ord, str(body["prompt"]))) % 7 + int(body.get("seed", 0)) % 5
    return tokens_of(f"So it is\nThe answer is {answer}.")


def tokens_of(text: str) -> list[str]:
    """Its tokens: words with the white space after them."""
    return re.findall(r"\S+\s*|\s+", text)


def logprob_of(piece: str) -> float:
    """The log-probability that it gives to a token of its own, wherever it stands."""
    return -0.5 * len(piece.encode())


def completion(body: Json) -> Json:
    """A good answer, in OpenAI's form."""
    pieces = pieces_of(body)[: body["max_tokens"]]
    text, given = "".join(pieces), pieces
    if body.get("echo"):
        prompt = body["prompt"]
        given = [*tokens_of(prompt), *pieces]
        text = prompt + text
    choice: Json = {
        "text": text,
        "index": 0,
        "finish_reason": "length" if len(pieces) < 7 else "stop",
        "logprobs": None,
    }
    if "logprobs" in body:
        values: list[float | None] = [logprob_of(piece) for piece in given]
        choice["logprobs"] = {
            "tokens": given,
            "token_logprobs": [None, *values[1:]] if body.get("echo") else values,
        }
    usage = {"prompt_tokens": 3, "completion_tokens": len(pieces)}
    return {
        "object": "text_completion",
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }


def events_of(response: Json) -> list[bytes]:
    """A whole answer as the events of a stream, one a token."""
    choice = response["choices"][0]
    given = choice["logprobs"]
    values = given["token_logprobs"] if given else []
    events: list[bytes] = []
    for number, token in enumerate(given["tokens"] if given else tokens_of(choice["text"])):
        own = {"tokens": [token], "token_logprobs": [values[number]]} if given else None
        part = {"text": token, "index": 0, "finish_reason": None, "logprobs": own}
        events.append(json.dumps({"choices": [part]}).encode())
    last = {"text": "", "index": 0, "finish_reason": choice["finish_reason"], "logprobs": None}
    return [*events, json.dumps({"choices": [last]}).encode(), b"[DONE]"]


class _Quiet(ThreadingHTTPServer):
    """Says nothing of clients that go away."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        pass


class Fake:
    """A server with known answers that counts what it is asked.

    Attributes:
        bodies: of the requests for draws, in order of arrival; probes are not among them.
        times: when they arrived (time.monotonic).
        probes: bodies of the requests that find out what it is.
        sent: events sent in answer to each request for a stream.
        keys: the Authorization headers seen, None among them.
    """

    def __init__(
        self,
        behave: Behaviour = lambda number, body: None,
        *,
        model: str = "toy-1",
        owner: str = "someone",
        delay: float = 0.0,
        answer: Callable[[Json], Json] = completion,
        probed: Behaviour = lambda number, body: None,
        events: Callable[[Json], list[bytes]] | None = events_of,
    ) -> None:
        self.behave, self.model, self.owner, self.delay = behave, model, owner, delay
        self.answer, self.probed, self.events = answer, probed, events
        self.bodies: list[Json] = []
        self.times: list[float] = []
        self.probes: list[Json] = []
        self.sent: list[int] = []
        self.keys: set[str | None] = set()
        self.in_flight = self.most_in_flight = 0
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                fake._connections.add(self.connection)

            def finish(self) -> None:
                fake._connections.discard(self.connection)
                with suppress(OSError):
                    super().finish()

            def do_GET(self) -> None:
                fake.keys.add(self.headers.get("Authorization"))
                row = {"id": fake.model, "object": "model", "owned_by": fake.owner}
                fake._send(self, Reply(body=json.dumps({"data": [row]}).encode()))

            def do_POST(self) -> None:
                fake.keys.add(self.headers.get("Authorization"))
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = fake._reply(body)
                if body.get("stream") and fake.events and reply.status == 200 and not reply.how:
                    fake._stream(self, reply.body)
                else:
                    fake._send(self, reply)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and refuse new ones."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._thread.is_alive():
            self.stop()

    def _reply(self, body: Json) -> Reply:
        if "seed" not in body and not (body.get("echo") and "12 + 30" not in body["prompt"]):
            self.probes.append(body)
            return self.probed(len(self.probes) - 1, body) or Reply(
                body=json.dumps(self.answer(body)).encode()
            )
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.times.append(time.monotonic())
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        time.sleep(self.delay)
        reply = self.behave(number, body)
        with self._lock:
            self.in_flight -= 1
        return reply or Reply(body=json.dumps(self.answer(body)).encode())

    def _stream(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Send an answer token by token, until nobody listens."""
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        self.sent.append(0)
        place = len(self.sent) - 1
        with suppress(OSError):
            assert self.events is not None
            for event in self.events(json.loads(body)):
                handler.wfile.write(b"data: " + event + b"\n\n")
                handler.wfile.flush()
                self.sent[place] += 1
                time.sleep(0.02)

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply.how == "hang":
            self.released.wait(60)
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        if reply.how == "cut":
            handler.wfile.write(reply.body[: len(reply.body) // 2])
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return
        handler.wfile.write(reply.body)
