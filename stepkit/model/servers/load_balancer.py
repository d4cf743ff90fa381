"""Which server gets the next request, which one rests, and which one is given up.

A circuit breaker for each server: after a failure it rests, for twice as long after each further
one and with jitter, so that many clients do not come back at once; then it is on probation, and
gets one request until it has answered. What fails together counts as one failure. Time is handed
in: nothing here waits or asks.
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
        model: what the served model is called there.
        in_flight: requests it has not answered.
        failures: since it last answered.
        rests_until: a time; no request before that.
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
    told: bool = False
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
        """The server for a request, which from then on is in flight there; None: none is ready."""
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
        """Seconds until a resting server may be asked; None when an answer has to come first."""
        ends = [server.rests_until - now for server in self.alive if server.rests_until > now]
        return min(ends, default=None)

    def answered(self, server: Server) -> None:
        """It answered a request, be it by a refusal."""
        server.in_flight -= 1
        server.failures = 0

    def recovered(self, server: Server) -> None:
        """It works again, as a check has shown; the request it was picked for is still to come."""
        server.failures = 0

    def failed(self, server: Server, why: str, *, started: float, now: float, wait: float) -> None:
        """A request failed; maybe drops the server.

        Args:
            started: when the request was sent. One sent before the last failure was counted tells
                nothing new.
            wait: seconds that the server asked to be left alone, at least.
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
        """Give it up: it said that it is of no use."""
        server.in_flight -= 1
        server.why = why
        server.dropped = True
