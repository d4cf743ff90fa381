"""The in-process engine: continuous batching over the slots of one llama.cpp context.

A prefix is prefilled once and its sequence is copied to the slots of its draws; a slot that is free
keeps its prefix, so that the next draw of it, or of a longer prefix of the same trace, starts from
there. What a request gets never depends on what else is in flight. Three rules make it so (on a
CPU; measured on F32, F16, Q8_0 and Q4_K models, tests/test_engine.py):

* each sequence has a stream of its own and flash attention is off (llama.py);
* prefixes enter by prefill calls that hold one sequence only, draws by calls that hold one token of
  each sequence: so both shapes are the same whoever is around;
* no call has fewer than 8 rows, or fewer than 8 rows of logits: ggml multiplies narrow matrices
  (one column, for K-quants fewer than 8) along another path that rounds otherwise. llama.cpp
  splits a call at gaps between sequence numbers. So gaps and short calls are filled with tokens
  of idle slots, which are forgotten at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from stepkit.errors import DataError, StepkitError
from stepkit.model.engine import (
    LOGPROB_DIGITS,
    Counters,
    Draw,
    Drawn,
    Finished,
    Read,
    Readout,
    Request,
)
from stepkit.model.llama import Context
from stepkit.model.sampling import choose, log_softmax_at, uniforms
from stepkit.model.turns import NoTurns, Turns

LEAST_ROWS = 8  # see above; found by measuring, kept by tests
WORTH_A_COPY = 32  # tokens of prefill that a whole-sequence copy roughly costs


@dataclass
class Slot:
    """One sequence: ``held`` are the token ids that entered it by prefill, in order."""

    held: tuple[int, ...] = ()
    draw: Active | None = None


@dataclass
class Active:
    """A draw in flight. ``position`` is where its next token goes; ``limit`` its last count."""

    request: Draw
    position: int
    limit: int
    ids: list[int] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    logprobs: list[float] = field(default_factory=list)


class SlotEngine:
    """An Engine (see engine.py) on one Context."""

    def __init__(self, context: Context, turns: Turns | NoTurns) -> None:
        self._context = context
        self._model = context.model
        self._turns = turns
        self._slots = [Slot() for _ in range(context.slots)]
        self._draws: dict[tuple[int, ...], deque[Draw]] = {}
        self._reads: deque[Read] = deque()
        self._refused: list[Finished] = []
        self._first_rows: dict[tuple[int, ...], Any] = {}
        self._ends = self._model.ends_generation()
        self._pieces = self._model.pieces
        self._pending = 0
        self.counters = Counters()

    @property
    def pending(self) -> int:
        return self._pending

    def submit(self, request: Request) -> None:
        self._pending += 1
        error = self._cannot(request)
        if error is not None:
            self._refused.append(Finished(request, error))
        elif isinstance(request, Draw):
            self._draws.setdefault(request.prefix, deque()).append(request)
        else:
            self._reads.append(request)

    def step(self) -> list[Finished]:
        """Work for about one decode and return what finished."""
        finished, self._refused = self._refused, []
        if self._reads:
            finished.append(self._read(self._reads.popleft()))
        else:
            finished += self._admit()
            finished += self._decode()
        self._pending -= len(finished)
        return finished

    def close(self) -> None:
        self._context.close()
        self._turns.close()

    def _cannot(self, request: Request) -> StepkitError | None:
        ids = request.prefix if isinstance(request, Draw) else request.ids
        room = self._context.context - (1 if isinstance(request, Draw) else 0)
        if not ids:
            return DataError("nothing to start from: the prompt has no tokens")
        if len(ids) > room:
            return DataError(
                f"{len(ids)} tokens, but the context holds {self._context.context}; "
                "raise --context (up to what the model was trained for)"
            )
        return None

    # -- draws ------------------------------------------------------------------------------

    def _admit(self) -> list[Finished]:
        """Start waiting draws in the free slots, prefix by prefix in order of arrival."""
        finished: list[Finished] = []
        free = [number for number, slot in enumerate(self._slots) if slot.draw is None]
        while free and self._draws:
            prefix, waiting = next(iter(self._draws.items()))
            home = self._enter(prefix, free)
            free.remove(home)
            row = self._first_rows[prefix]
            places = [home]
            while len(places) < len(waiting) and free:
                # a slot that already holds the prefix needs no copy
                place = next((n for n in free if self._slots[n].held == prefix), free[0])
                free.remove(place)
                places.append(place)
            started = []
            for place in places:
                slot = self._slots[place]
                if slot.held == prefix:
                    self._context.forget(place, len(prefix))
                else:
                    self._context.copy(home, place)
                    slot.held = prefix
                slot.draw = self._start(waiting.popleft())
                started.append(place)
            if not waiting:
                del self._draws[prefix], self._first_rows[prefix]
            ended = self._extend(started, np.repeat(row[None, :], len(started), axis=0))
            finished += ended
            free = [number for number, slot in enumerate(self._slots) if slot.draw is None]
        return finished

    def _start(self, request: Draw) -> Active:
        position = len(request.prefix)
        limit = min(request.sampling.max_tokens, self._context.context - position)
        return Active(request, position, limit)

    def _enter(self, prefix: tuple[int, ...], free: list[int]) -> int:
        """Bring ``prefix`` into a free slot and its last row into ``_first_rows``."""
        home, shared = self._best_home(prefix, free)
        slot = self._slots[home]
        if shared == len(prefix) and prefix in self._first_rows:
            self._context.forget(home, len(prefix))
            slot.held = prefix
            return home
        (row,) = self._prefill(home, prefix, shared, [len(prefix) - 1], lambda _, row: row.copy())
        self._first_rows[prefix] = row
        return home

    def _best_home(self, prefix: tuple[int, ...], free: list[int]) -> tuple[int, int]:
        """A free slot and how much of ``prefix`` it holds, after a copy if that is worth it."""
        shared = [self._shared(slot.held, prefix) for slot in self._slots]
        home = max(free, key=lambda number: (shared[number], -len(self._slots[number].held)))
        best = max(range(len(shared)), key=lambda number: shared[number])
        if shared[best] >= shared[home] + WORTH_A_COPY:
            self._context.copy(best, home)
            self._slots[home].held = self._slots[best].held[: shared[best]]
            return home, shared[best]
        return home, shared[home]

    def _shared(self, held: tuple[int, ...], prefix: tuple[int, ...]) -> int:
        """How much of ``prefix`` a slot can give: what enters in a short call, nothing but itself.

        A short prefix is entered by a short call when it comes alone, so it must not be taken from
        a longer one that a wide call entered.
        """
        if min(len(held), len(prefix)) < LEAST_ROWS:
            return len(held) if held == prefix else 0
        return _common(held, prefix)

    def _prefill(
        self,
        place: int,
        ids: tuple[int, ...],
        shared: int,
        wanted: list[int],
        take: Callable[[int, Any], Any],
    ) -> list[Any]:
        """Evaluate ``ids`` in slot ``place`` from where they leave what it holds.

        Returns what ``take`` makes of each wanted position (increasing) and its row of logits,
        which is gone after the call: a long text has more rows than memory.
        """
        start = min(shared, wanted[0], max(0, len(ids) - LEAST_ROWS))
        self._context.forget(place, start)
        self._slots[place].held = ids[:start]
        taken: list[Any] = []
        self.counters.reused_tokens += start
        for first, last in self._chunks(start, len(ids), wanted):
            inside = [position for position in wanted if first <= position < last]
            rows = self._prefill_chunk(place, ids, first, last, inside)
            taken += [take(p, row) for p, row in zip(inside, rows, strict=True)]
        self._slots[place].held = ids
        return taken

    def _chunks(self, start: int, end: int, wanted: list[int]) -> list[tuple[int, int]]:
        """Cut ``start .. end`` into calls of at most a batch, none shorter than LEAST_ROWS.

        A chunk also ends before its rows of logits would outgrow the buffer.
        """
        chunks = []
        while start < end:
            last = min(end, start + self._context.batch)
            inside = [position for position in wanted if start <= position < last]
            if len(inside) > self._context.outputs:
                last = inside[self._context.outputs]
            if 0 < end - last < LEAST_ROWS:
                last = end - LEAST_ROWS
            chunks.append((start, last))
            start = last
        return chunks

    def _prefill_chunk(
        self, place: int, ids: tuple[int, ...], first: int, last: int, inside: list[int]
    ) -> list[Any]:
        wanted = np.zeros(last - first, np.int8)
        wanted[[position - first for position in inside]] = 1
        if inside:
            _fill(wanted)
        logits = self._run(
            np.array(ids[first:last], np.int32),
            np.arange(first, last, dtype=np.int32),
            [place] * (last - first),
            wanted,
        )
        self.counters.read_tokens += last - first
        if logits is None:
            return []
        order = np.flatnonzero(wanted)
        return [logits[int(np.searchsorted(order, p - first))] for p in inside]

    def _decode(self) -> list[Finished]:
        """One more token for every draw in flight."""
        self._close_gaps()
        places = [number for number, slot in enumerate(self._slots) if slot.draw is not None]
        if not places:
            return []
        rows = self._filled(places)
        tokens, positions, wanted = self._tokens_of(rows)
        _fill(wanted)
        logits = self._run(tokens, positions, rows, wanted)
        for number in rows:
            if self._slots[number].draw is None:
                self._context.forget(number, len(self._slots[number].held))
        if len(logits) > len(places):
            given = np.array(rows)[np.flatnonzero(wanted)]
            logits = logits[np.isin(given, places)]
        self.counters.drawn_tokens += len(places)
        return self._extend(places, logits)

    def _filled(self, places: list[int]) -> list[int]:
        """The slots of one call: ``places`` with the gaps between them, at least LEAST_ROWS."""
        high = min(max(places[-1] + 1, places[0] + LEAST_ROWS), len(self._slots))
        return list(range(min(places[0], high - LEAST_ROWS), high))

    def _tokens_of(self, rows: list[int]) -> tuple[Any, Any, Any]:
        tokens = np.zeros(len(rows), np.int32)
        positions = np.zeros(len(rows), np.int32)
        wanted = np.zeros(len(rows), np.int8)
        for row, number in enumerate(rows):
            slot = self._slots[number]
            if slot.draw is None:
                positions[row] = self._room_in(number)
                continue
            tokens[row] = slot.draw.ids[-1]
            positions[row] = slot.draw.position
            slot.draw.position += 1
            wanted[row] = 1
        return tokens, positions, wanted

    def _room_in(self, number: int) -> int:
        """Where an idle slot's filler goes, after making the slot hold just what it says."""
        slot = self._slots[number]
        if len(slot.held) >= self._context.context:
            slot.held = ()
        self._context.forget(number, len(slot.held))
        return len(slot.held)

    def _close_gaps(self) -> None:
        """Move the highest draws down while more than half of a call would be filler."""
        while True:
            places = [number for number, slot in enumerate(self._slots) if slot.draw is not None]
            span = places[-1] - places[0] + 1 if places else 0
            if span <= max(LEAST_ROWS, 2 * len(places)):
                return
            occupied = set(places)
            gap = next(n for n in range(places[0], places[-1]) if n not in occupied)
            source, target = self._slots[places[-1]], self._slots[gap]
            self._context.copy(places[-1], gap)
            target.held, target.draw = source.held, source.draw
            source.draw = None

    def _extend(self, places: list[int], logits: Any) -> list[Finished]:
        """Give each draw its next token; return those that ended. ``logits`` [places, n_vocab]."""
        draws = [self._slots[number].draw for number in places]
        finished = []
        for sampling in dict.fromkeys(draw.request.sampling for draw in draws if draw):
            rows = [r for r, draw in enumerate(draws) if draw and draw.request.sampling == sampling]
            mine = logits if len(rows) == len(draws) else logits[rows]
            if np.isnan(mine).any():
                finished += [self._failed(places[r]) for r in rows if np.isnan(logits[r]).any()]
                rows = [r for r in rows if not np.isnan(logits[r]).any()]
                mine = logits[rows]
            if not rows:
                continue
            group = [draw for r in rows if (draw := draws[r])]
            seeds = np.array([draw.request.seed for draw in group], np.uint64)
            counts = np.array([len(draw.ids) for draw in group])
            tokens = choose(mine, uniforms(seeds, counts), sampling)
            logprobs = log_softmax_at(mine, tokens)
            for r, draw, token, logprob in zip(rows, group, tokens, logprobs, strict=True):
                result = self._take(draw, int(token), float(logprob))
                if result is not None:
                    self._slots[places[r]].draw = None
                    finished.append(Finished(draw.request, result))
        return finished

    def _failed(self, place: int) -> Finished:
        slot = self._slots[place]
        assert slot.draw is not None
        request, slot.draw = slot.draw.request, None
        return Finished(request, DataError("the model's logits are not numbers (NaN)"))

    def _take(self, draw: Active, token: int, logprob: float) -> Drawn | None:
        """Append one token; return the finished draw when it ends here."""
        if token in self._ends:
            return _drawn(draw, "stop", len(draw.text), self._pieces)
        piece = self._pieces[token]
        before = len(draw.text)
        draw.ids.append(token)
        draw.text += piece
        draw.logprobs.append(logprob)
        for stop in draw.request.sampling.stop:
            mark = stop.encode()
            found = draw.text.find(mark, max(0, before - len(mark) + 1))
            if found >= 0:
                return _drawn(draw, "stop", found, self._pieces)
        until = draw.request.until
        if until is not None and until(draw.text.decode("utf-8", "ignore")):
            return _drawn(draw, "until", len(draw.text), self._pieces)
        if len(draw.ids) >= draw.limit:
            return _drawn(draw, "length", len(draw.text), self._pieces)
        return None

    # -- reads ------------------------------------------------------------------------------

    def _read(self, request: Read) -> Finished:
        """Evaluate one sequence and read it at the asked positions."""
        free = [number for number, slot in enumerate(self._slots) if slot.draw is None]
        if not free:
            self._reads.appendleft(request)
            return self._read_later()
        home, shared = self._best_home(request.ids, free)
        wanted = list(request.positions)
        last = request.ids if request.candidates else request.ids[: wanted[-1] + 1]
        values: list[tuple[float, ...]] = []
        if wanted:
            values = self._prefill(home, last, shared, wanted, partial(self._value, request))
        if any(not np.isfinite(number) for value in values for number in value):
            return Finished(request, DataError("the model's logits are not finite numbers"))
        return Finished(request, Readout(tuple(values)))

    def _read_later(self) -> Finished:
        """Draws hold every slot: finish one first. Reads and draws rarely share an engine."""
        while True:
            finished = self._decode()
            if finished:
                self._refused += finished[1:]
                return finished[0]

    def _value(self, request: Read, position: int, row: Any) -> tuple[float, ...]:
        if request.candidates:
            return tuple(float(row[token]) for token in request.candidates)
        following = np.array([request.ids[position + 1]])
        return (float(log_softmax_at(row[None, :], following)[0]),)

    def _run(self, tokens: Any, positions: Any, slots: list[int], wanted: Any) -> Any:
        self.counters.decodes += 1
        with self._turns.one():
            return self._context.decode(tokens, positions, slots, wanted)


def _fill(wanted: Any) -> None:
    """Ask for more rows of logits, in place, until they are LEAST_ROWS or all."""
    missing = LEAST_ROWS - int(wanted.sum())
    if missing > 0:
        wanted[np.flatnonzero(wanted == 0)[:missing]] = 1


def _common(held: tuple[int, ...], ids: tuple[int, ...]) -> int:
    """Length of the common prefix."""
    if held == ids[: len(held)]:
        return len(held)
    count = 0
    for a, b in zip(held, ids, strict=False):
        if a != b:
            break
        count += 1
    return count


def _drawn(draw: Active, finish: str, length: int, pieces: Sequence[bytes]) -> Drawn:
    """The result of a draw whose text ends after ``length`` bytes."""
    count, size = 0, 0
    while count < len(draw.ids) and size < length:
        size += len(pieces[draw.ids[count]])
        count += 1
    raw = bytes(draw.text[:length])
    ids: tuple[int, ...] | None = tuple(draw.ids[:count]) if size == length else None
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        # a limit may fall inside a character: its bytes are left out, other bad bytes are marked
        whole = raw[: error.start] if error.reason == "unexpected end of data" else raw
        text, ids = whole.decode("utf-8", "replace"), None
    logprobs = draw.logprobs[:count]
    kept = tuple(round(one, LOGPROB_DIGITS) for one in logprobs)
    return Drawn(text, finish, count, ids, sum(logprobs), kept)
