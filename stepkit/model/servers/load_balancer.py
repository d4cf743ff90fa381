"""Which server gets the next request, which one rests, and which one is given up.

A circuit breaker for each server: after a failure it rests, for twice as long after each further
one and with jitter, so that many clients do not return at once; then it is on probation, and gets
one request until it has answered. Requests that fail together count as one failure. Time is an
argument: nothing here waits or sends requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

FIRST_REST = 0.5
LONGEST_REST = 60.0


@dataclass(eq=False)
class Server:
    """One endpoint and how it is doing.

    Attributes:
        url: its base URL.
        model: the name of the served model there.
        in_flight: requests without a response yet.
        failures: since its last response.
        rests_until: a time; no request before that.
        reported: the user was warned that it is given up.
        why: the last failure.
    """

    url: str
    model: str
    in_flight: int = 0
    failures: int = 0
    rests_until: float = 0.0
    failed_at: float = float("-inf")
    picked: int = 0
    dropped: bool = False
    reported: bool = False
    why: str = ""


class LoadBalancer:
    """Balances by requests in flight.

    Args:
        limit: failures in a row after which a server is dropped.
        jitter: uniform numbers in [0, 1).
    """

    def __init__(self, servers: Sequence[Server], limit: int, jitter: Callable[[], float]) -> None:
        self._servers = list(servers)
        self._limit = limit
        self._jitter = jitter
        self._picks = 0

    @property
    def alive(self) -> list[Server]:
        """The servers that are not given up."""
        return [server for server in self._servers if not server.dropped]

    def pick(self, now: float) -> Server | None:
        """The server for a request, which is then in flight there; None when none is ready."""
        ready = [server for server in self.alive if self._ready(server, now)]
        if not ready:
            return None
        server = min(ready, key=lambda server: (server.in_flight, server.picked))
        self._picks += 1
        server.picked = self._picks
        server.in_flight += 1
        return server

    def _ready(self, server: Server, now: float) -> bool:
        return server.rests_until <= now and (not server.failures or not server.in_flight)

    def wait(self, now: float) -> float | None:
        """Seconds until a resting server may get a request; None when a response must come
        first."""
        ends = [server.rests_until - now for server in self.alive if server.rests_until > now]
        return min(ends, default=None)

    def answered(self, server: Server) -> None:
        """It responded to a request, be it by a refusal."""
        server.in_flight -= 1
        server.failures = 0

    def recovered(self, server: Server) -> None:
        """It works again, as a check has shown; the request that it was picked for comes next."""
        server.failures = 0

    def failed(self, server: Server, why: str, *, started: float, now: float, wait: float) -> None:
        """A request failed; maybe drops the server.

        Args:
            started: when the request was sent. One that was sent before the last counted failure
                is part of that.
            wait: the least seconds to wait by the server's request.
        """
        server.in_flight -= 1
        server.why = why
        if started > server.failed_at:
            server.failures += 1
            server.failed_at = now
        if server.failures >= self._limit:
            server.dropped = True
        rest = min(LONGEST_REST, FIRST_REST * 2.0 ** (server.failures - 1))
        rest *= 0.5 + 0.5 * self._jitter()
        server.rests_until = max(server.rests_until, now + max(rest, wait))

    def drop(self, server: Server, why: str) -> None:
        """Give it up: its response shows that it cannot be used."""
        server.in_flight -= 1
        server.why = why
        server.dropped = True
