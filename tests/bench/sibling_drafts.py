"""What drafting from sibling draws could gain: accepted tokens, and what the rows for them cost.

    FILE="attempts.jsonl ..." MODEL=model.gguf python tests/bench/sibling_drafts.py

Continuations of one prefix resemble each other. A draft is looked up: where the last tokens of a
draw stand in a sibling drawn before, or earlier in the draw itself, the tokens that followed there
are proposed, and one call evaluates them with the draw's next token (prompt lookup, as llama.cpp
and Transformers have it, over siblings). A token is accepted where it is the one that the draw,
with its own random numbers, came to anyway: so what is accepted can be counted on draws that exist.

The first table: tokens a call for drafts of some lengths, by the longest match of 4, 3 or 2 tokens,
and with a length that goes by the match. The second: seconds of a call with as many rows, by the
processor here, at --fast. A call of several draws has one length of drafts for all (llama.cpp
splits ragged batches). The last: tokens a second against drawing without drafts, the best plan for
each number of draws in flight; those of the first table that have no match propose nothing, so for
one draw in flight their calls are short.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stepkit.model.local.context import Context
from stepkit.model.local.context_sizes import ContextSizes
from stepkit.model.local.llama import Model

MATCHES = (4, 3, 2)
PLANS = {
    "1": {4: 1, 3: 1, 2: 1},
    "2": {4: 2, 3: 2, 2: 2},
    "3": {4: 3, 3: 3, 2: 3},
    "4, of 4": {4: 4},
    "7, of 4": {4: 7},
    "4, 2, 1": {4: 4, 3: 2, 2: 1},
    "7, 3, 1": {4: 7, 3: 3, 2: 1},
}
IN_FLIGHT = (1, 4, 32)
LONGEST = max(max(plan.values()) for plan in PLANS.values())
CACHED = 128
LENGTHS = (0, 1, 3, 7)
REPEATS = int(os.environ.get("REPEATS", 5))


class Drafted(NamedTuple):
    """Calls by the length of their draft, and the tokens that they gave, of one plan."""

    calls: list[int]
    tokens: int

    @property
    def each(self) -> float:
        return self.tokens / sum(self.calls)


class Lookup:
    """What followed the last tokens, in the order of addition; later places replace earlier."""

    def __init__(self) -> None:
        self._next: dict[tuple[int, ...], tuple[Sequence[int], int]] = {}

    def add(self, ids: Sequence[int], end: int) -> None:
        """Note the places that end just before ``end``."""
        for size in MATCHES:
            if end >= size:
                self._next[tuple(ids[end - size : end])] = (ids, end)

    def draft(self, ids: Sequence[int], end: int, plan: dict[int, int]) -> Sequence[int]:
        for size in MATCHES:
            found = self._next.get(tuple(ids[end - size : end])) if end >= size else None
            if found is not None and plan.get(size):
                source, place = found
                known = end if source is ids else len(source)  # no look into the draw's future
                return source[place : min(place + plan[size], known)]
        return ()


def drafted(groups: list[list[list[int]]], plan: dict[int, int]) -> Drafted:
    calls, tokens = [0] * (LONGEST + 1), 0
    for group in groups:
        lookup = Lookup()
        for ids in group:
            end = 0
            while end < len(ids):
                draft = lookup.draft(ids, end, plan)
                calls[len(draft)] += 1
                given = 1  # the token that the draw comes to, whatever was proposed
                for place, token in enumerate(draft):
                    if end + place + 1 >= len(ids) or ids[end + place] != token:
                        break
                    given += 1
                for place in range(end, end + given):
                    lookup.add(ids, place)
                end += given
                tokens += given
    return Drafted(calls, tokens)


def groups_of(path: str) -> list[list[list[int]]]:
    groups: dict[str, list[list[int]]] = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            groups.setdefault(record["group"], []).append(record["sample"]["ids"])
    return [group for group in groups.values() if len(group) > 1]


def call_seconds(model: Model) -> dict[tuple[int, int], float]:
    """Seconds of a call, by draws in flight and the length of their drafts: the least of some."""
    most = max(IN_FLIGHT)
    sizes = ContextSizes(most, 1, CACHED + 64, 512, 512, int(os.environ.get("THREADS", 2)), False)
    context = Context(model, sizes)
    prompt = np.arange(1000, 1000 + CACHED, dtype=np.int32)
    positions = np.arange(CACHED, dtype=np.int32)
    wanted = np.zeros(CACHED, np.int8)
    context.decode(prompt, positions, np.zeros(CACHED, np.int32), wanted)
    for slot in range(1, most):
        context.copy(0, slot, CACHED)
    found = {}
    for draws in IN_FLIGHT:
        for length in LENGTHS:
            rows = draws * (1 + length)
            tokens = np.arange(2000, 2000 + rows, dtype=np.int32)
            places = np.repeat(np.arange(draws, dtype=np.int32), 1 + length)
            at = np.tile(np.arange(CACHED, CACHED + 1 + length, dtype=np.int32), draws)
            times = []
            for _ in range(REPEATS):
                begin = time.perf_counter()
                context.decode(tokens, at, places, np.ones(rows, np.int8))
                times.append(time.perf_counter() - begin)
                for slot in range(draws):
                    context.forget(slot, CACHED)
            found[draws, length] = min(times)
    context.close()
    return found


def gain(found: Drafted, seconds: dict[tuple[int, int], float], draws: int) -> float:
    """Tokens a second with drafts, of those without.

    A call of several draws has the longest of their drafts: at random, the length that at least one
    of them has.
    """
    total = sum(found.calls)
    shares = np.cumsum([calls / total for calls in found.calls]) ** draws  # P(all at most so long)
    chances = np.diff(shares, prepend=0.0)
    lengths = [length for _, length in seconds if _ == draws]
    cost = 0.0
    for length, chance in enumerate(chances):
        up = min(one for one in lengths if one >= length)
        cost += chance * seconds[draws, up]
    return found.each * seconds[draws, 0] / cost


def main() -> None:
    tables: list[dict[str, Drafted]] = []
    print(f"tokens a call   {'draft: ' + ',  '.join(PLANS):>60}")
    for path in os.environ["FILE"].split():
        groups = groups_of(path)
        tables.append({name: drafted(groups, plan) for name, plan in PLANS.items()})
        cells = "".join(f"{one.each:9.2f}" for one in tables[-1].values())
        print(f"{Path(path).stem:38}{cells}")
    seconds = call_seconds(Model(os.environ["MODEL"]))
    print(f"\nmilliseconds of a call, {Path(os.environ['MODEL']).name}\n"
          "in flight   no draft        1        3        7")  # fmt: skip
    for draws in IN_FLIGHT:
        cells = "".join(f"{1000 * seconds[draws, length]:9.0f}" for length in LENGTHS)
        print(f"{draws:9}  {cells}")
    print(f"\ntokens a second, of those without drafts{'':22}best")
    for draws in IN_FLIGHT:
        gains = {name: statistics.mean(gain(table[name], seconds, draws) for table in tables)
                 for name in PLANS}  # fmt: skip
        best = max(gains, key=lambda name: gains[name])
        cells = "".join(f"{one:8.2f}" for one in gains.values())
        print(f"{draws:3}{cells}   {gains[best]:.2f} with {best}")


if __name__ == "__main__":
    main()
