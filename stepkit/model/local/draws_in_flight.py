"""The draws in flight, as flat arrays with one row per slot: their tokens, and how they end.

A step costs a few array operations whatever the number of draws; only those that end, and those
that a stop string may end, are handled one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from stepkit.errors import DataError
from stepkit.model.engine import (
    LOGPROB_DIGITS,
    DistributionSummary,
    Draw,
    FinishedDraw,
    FinishedRequest,
    Sampling,
)
from stepkit.model.local.logit_processors import GrammarState, LogitProcessors
from stepkit.model.local.readout import summaries
from stepkit.model.local.token_sampling import TokenSampler, uniforms
from stepkit.model.prefixes import Ids

NOTHING = -1
"""In place of a token, where biases or a grammar allow none."""
_NUMBERS = len(DistributionSummary._fields)
SECOND = 1 << 40
"""Offset of a draw's second uniforms: no draw has so many tokens."""


class DrawVocabulary(Protocol):
    """What this module needs of a model."""

    @property
    def n_vocab(self) -> int: ...
    @property
    def pieces(self) -> list[bytes]: ...

    def ends_generation(self) -> frozenset[int]: ...


class ActiveDraws:
    """Slots and the draws in them.

    Attributes:
        active: [slots] bool, whether a draw is in flight here.
        last: [slots] int32, the token drawn last, to be evaluated next.
        position: [slots] int32, its position in the sequence.
    """

    def __init__(
        self,
        vocabulary: DrawVocabulary,
        slots: int,
        threads: int,
        parse: Callable[[str], GrammarState],
    ) -> None:
        self._pieces = vocabulary.pieces
        self._ends = np.zeros(vocabulary.n_vocab, bool)
        self._ends[list(vocabulary.ends_generation())] = True
        self._choose = TokenSampler(vocabulary.n_vocab, threads)
        self._processors = LogitProcessors(vocabulary.n_vocab, slots, parse)
        self.active = np.zeros(slots, bool)
        self.last = np.zeros(slots, np.int32)
        self.position = np.zeros(slots, np.int32)
        self._counts = np.zeros(slots, np.int64)
        self._limits = np.zeros(slots, np.int64)
        self._seeds = np.zeros(slots, np.uint64)
        self._ids = np.zeros((slots, 64), np.int32)
        self._logprobs = np.zeros((slots, 64))
        self._summarised = np.zeros(slots, bool)
        self._summaries = np.zeros((slots, 0, _NUMBERS))
        self._requests: list[Draw | None] = [None] * slots
        self._samplings: Counter[Sampling] = Counter()
        self._texts: list[bytearray | None] = [None] * slots  # of draws that their text may end

    def free(self) -> list[int]:
        """Slots without a draw, ascending."""
        return [int(place) for place in np.flatnonzero(~self.active)]

    def start(self, place: int, request: Draw, room: int) -> None:
        """Put a draw into a free slot; ``room`` is how many tokens the context still holds."""
        self.active[place] = True
        self.position[place] = len(request.prefix)
        self._counts[place] = 0
        self._limits[place] = min(request.sampling.max_tokens, room)
        self._seeds[place] = request.seed
        self._requests[place] = request
        self._samplings[request.sampling] += 1
        self._processors.start(place, request)
        watched = request.sampling.stop or request.until or request.complete
        self._texts[place] = bytearray() if watched else None
        self._summarised[place] = request.summaries

    def move(self, source: int, target: int) -> None:
        """Move a draw to a free slot."""
        for array in (self.active, self.last, self.position, self._counts, self._limits):
            array[target] = array[source]
        self._seeds[target] = self._seeds[source]
        self._processors.move(source, target)
        self._ids[target], self._logprobs[target] = self._ids[source], self._logprobs[source]
        self._summaries[target] = self._summaries[source]
        self._summarised[target] = self._summarised[source]
        self._requests[target], self._requests[source] = self._requests[source], None
        self._texts[target], self._texts[source] = self._texts[source], None
        self.active[source] = False

    def ids_of(self, place: int) -> Ids:
        """The tokens drawn in a slot (also just after its draw has ended)."""
        return tuple(self._ids[place, : self._counts[place]].tolist())

    def extend(self, places: Sequence[int], logits: Any) -> list[tuple[int, FinishedRequest]]:
        """Draw the next token of each of these draws; return those that ended, with their slots.

        Args:
            logits: [places, n_vocab] float32.
        """
        at = np.asarray(places)
        invalid = ~np.isfinite(logits.max(axis=1))
        ended = self._fail(at[invalid], "the model's logits are not numbers (NaN)")
        if ended:
            at, logits = at[~invalid], logits[~invalid]
        tokens, logprobs = self._next(at, logits)
        stuck = tokens == NOTHING
        if stuck.any():
            ended += self._fail(at[stuck], "--logit-bias and --grammar leave no token to draw")
            at, tokens, logprobs = at[~stuck], tokens[~stuck], logprobs[~stuck]
            logits = logits[~stuck]
        self._summarise(at, logits, tokens)
        return ended + self._append(at, tokens, logprobs)

    def close(self) -> None:
        self._choose.close()

    def _fail(self, at: Any, why: str) -> list[tuple[int, FinishedRequest]]:
        return [
            (place, FinishedRequest(self._leave(place), DataError(why))) for place in at.tolist()
        ]

    def _append(self, at: Any, tokens: Any, logprobs: Any) -> list[tuple[int, FinishedRequest]]:
        """Append one token to each of these draws."""
        if not len(at):
            return []
        counts = self._counts[at]
        if counts.max() >= self._ids.shape[1]:
            self._grow()
        self._ids[at, counts], self._logprobs[at, counts] = tokens, logprobs
        self.last[at] = tokens
        end_of_text = self._ends[tokens]
        self._counts[at] += ~end_of_text
        self._processors.accept(at, tokens, end_of_text)
        over = end_of_text | (self._counts[at] >= self._limits[at])
        ended = []
        for index, place in enumerate(at.tolist()):
            if self._texts[place] is None and not over[index]:
                continue
            result = self._result(place, bool(end_of_text[index]))
            if result is not None:
                ended.append((place, FinishedRequest(self._leave(place), result)))
        return ended

    def _summarise(self, at: Any, logits: Any, tokens: Any) -> None:
        """Keep a summary of the distribution of each of these tokens where it was asked for."""
        rows = self._summarised[at]
        if not rows.any():
            return
        chosen = at[rows]
        if self._counts[chosen].max() >= self._summaries.shape[1]:
            more = np.zeros((len(self.active), max(64, self._summaries.shape[1]), _NUMBERS))
            self._summaries = np.concatenate([self._summaries, more], axis=1)
        self._summaries[chosen, self._counts[chosen]] = summaries(logits[rows], tokens[rows])

    def _next(self, at: Any, logits: Any) -> tuple[Any, Any]:
        """Tokens and log-probabilities, by one call for all draws with the same sampling."""
        if not len(at):
            return np.empty(0, np.int64), np.empty(0)
        if len(self._samplings) == 1:
            return self._sampled(at, logits, next(iter(self._samplings)))
        by_sampling: dict[Sampling, list[int]] = {}
        for row, place in enumerate(at):
            by_sampling.setdefault(self._request(place).sampling, []).append(row)
        tokens, logprobs = np.empty(len(at), np.int64), np.empty(len(at))
        for sampling, rows in by_sampling.items():
            tokens[rows], logprobs[rows] = self._sampled(at[rows], logits[rows], sampling)
        return tokens, logprobs

    def _sampled(self, at: Any, logits: Any, sampling: Sampling) -> tuple[Any, Any]:
        processed = self._processors.process(at, logits, sampling)
        chances = uniforms(self._seeds[at], self._counts[at])
        if processed is logits:
            tokens, logprobs = self._choose(logits, chances, sampling)
        else:
            nothing = ~np.isfinite(processed.max(axis=1))
            processed[nothing] = 0.0
            tokens, logprobs = self._choose(processed, chances, sampling, logits)
            tokens[nothing] = NOTHING
        if sampling.grammar:
            self._apply_grammar(at, logits, processed, sampling, tokens, logprobs)
        return tokens, logprobs

    def _apply_grammar(
        self, at: Any, logits: Any, processed: Any, sampling: Sampling, tokens: Any, logprobs: Any
    ) -> None:
        """Choose again, in place, where a grammar does not allow the token.

        Only then is the whole vocabulary checked. The result is a draw from the tokens allowed: the
        second choice has a uniform of its own, far along the draw's stream.
        """
        for row, place in enumerate(at):
            token = tokens[row : row + 1]
            if token[0] == NOTHING or self._processors.allowed(place, token)[0]:
                continue
            allowed = self._processors.allowed(place, np.arange(logits.shape[1], dtype=np.int32))
            masked = np.where(allowed, processed[row], np.float32(-np.inf))[None, :]
            if not np.isfinite(masked).any():
                tokens[row] = NOTHING
                continue
            chance = uniforms(self._seeds[at[row : row + 1]], SECOND + self._counts[at[row]])
            token, logprob = self._choose(masked, chance, sampling, logits[row : row + 1])
            tokens[row], logprobs[row] = token[0], logprob[0]

    def _result(self, place: int, end_of_text: bool) -> FinishedDraw | None:
        """The draw's result if it has ended."""
        request, count = self._request(place), int(self._counts[place])
        text = self._texts[place]
        if text is None:
            text = bytearray(b"".join(self._pieces[token] for token in self.ids_of(place)))
        elif not end_of_text:
            before = len(text)
            text += self._pieces[int(self.last[place])]
            found = stop_position(text, before, request.sampling.stop)
            if found is not None:
                return self._finished(place, "stop", text[:found])
            if (finish := _ended_by_text(request, text)) is not None:
                return self._finished(place, finish, text)
        if end_of_text or count >= self._limits[place]:
            return self._finished(place, "stop" if end_of_text else "length", text)
        return None

    def _finished(self, place: int, finish: str, text: bytearray) -> FinishedDraw:
        logprobs = self._logprobs[place, : self._counts[place]].tolist()
        drawn = finished_draw(finish, bytes(text), self.ids_of(place), logprobs, self._pieces)
        if not self._summarised[place]:
            return drawn
        rows = self._summaries[place, : drawn.tokens].round(LOGPROB_DIGITS).tolist()
        return replace(drawn, summaries=tuple(map(tuple, rows)))

    def _request(self, place: int) -> Draw:
        request = self._requests[place]
        assert request is not None, "no draw here"
        return request

    def _leave(self, place: int) -> Draw:
        """Make a slot free; returns the request whose draw was there."""
        request = self._request(place)
        self._samplings[request.sampling] -= 1
        if not self._samplings[request.sampling]:
            del self._samplings[request.sampling]
        self.active[place] = False
        self._requests[place] = self._texts[place] = None
        return request

    def _grow(self) -> None:
        self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)], axis=1)
        self._logprobs = np.concatenate([self._logprobs, np.zeros_like(self._logprobs)], axis=1)


def _ended_by_text(request: Draw, text: bytearray) -> str | None:
    """How the text so far ends its draw, or None."""
    if request.complete is None and request.until is None:
        return None
    so_far = text.decode("utf-8", "ignore")
    if request.complete is not None and request.complete(so_far):
        return "stop"
    return "until" if request.until is not None and request.until(so_far) else None


def stop_position(text: bytes | bytearray, before: int, stops: Sequence[str]) -> int | None:
    """Where the first of ``stops`` starts that ends after ``before``, or None."""
    for stop in stops:
        raw = stop.encode()
        start = text.find(raw, max(0, before - len(raw) + 1))
        if start >= 0:
            return start
    return None


def finished_draw(
    finish: str, raw: bytes, ids: Ids, logprobs: Sequence[float], pieces: Sequence[bytes]
) -> FinishedDraw:
    """The result of a draw of the tokens ``ids`` whose text is ``raw``, or starts with it."""
    count, size = 0, 0
    while count < len(ids) and size < len(raw):
        size += len(pieces[ids[count]])
        count += 1
    kept: Ids | None = ids[:count] if size == len(raw) else None
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        # a limit may fall inside a character: its bytes are left out, other bad bytes are marked
        whole = raw[: error.start] if error.reason == "unexpected end of data" else raw
        text, kept = whole.decode("utf-8", "replace"), None
    own = logprobs[:count]
    rounded = tuple(round(one, LOGPROB_DIGITS) for one in own)
    return FinishedDraw(text, finish, count, kept, sum(own), rounded)
