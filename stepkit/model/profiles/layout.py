"""Traces to token ids and the positions that are read, as a profile says.

Pure but for the vocabulary that it is handed. Every check stands before a score: a trace that
cannot be laid out as the model was trained is refused, never cut and never read elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from stepkit import schema
from stepkit.errors import DataError, UsageError
from stepkit.model.chat import Encoder, Part, fill
from stepkit.model.profiles.profile import Profile, Token

Ids = tuple[int, ...]


class Vocabulary(Protocol):
    """What this module needs of a model."""

    n_vocab: int

    @property
    def bos(self) -> Ids: ...

    def special_tokens(self) -> dict[str, int]: ...

    def tokenize(self, text: str) -> Ids: ...

    def tokenize_exact(self, text: str) -> Ids | None: ...

    def detokenize(self, ids: Ids) -> bytes: ...

    def token_text(self, token: int) -> str: ...

    def token(self, said: str, option: str) -> int: ...


@dataclass(frozen=True)
class Layout:
    """What a model is given of one trace, and where it is read.

    Attributes:
        ids: the whole input.
        positions: indices into ``ids``, one per step (one in all for a profile that reads whole
            attempts).
        suffixes: empty, or for each position what follows ``ids[: position + 1]`` instead: the
            number is then read at the end of that. Where it is empty the position itself is read.
        start: index of the response's first token.

    The positions that are read themselves increase strictly.
    """

    ids: Ids
    positions: tuple[int, ...]
    suffixes: tuple[Ids, ...] = ()
    start: int = 0


class Writer:
    """Lays traces out for one model by one profile.

    Raises UsageError when the vocabulary is not the one that the profile is of.
    """

    def __init__(self, vocabulary: Vocabulary, profile: Profile) -> None:
        self.profile = profile
        self._vocabulary = vocabulary
        self._encoder = Encoder(vocabulary)
        self.bos = self._first()
        marker = profile.mark.marker
        self.marker = token_id(vocabulary, marker, "marker") if marker else None

    def layout(self, data: Mapping[str, Any], steps: Sequence[str]) -> Layout:
        """Lay out an attempt, or the beginning of one, at the problem of the record ``data``.

        Raises DataError when there are no steps, when the text holds a marker that must stand
        alone, or when the whole is longer than what the model was trained on.
        """
        if not steps:
            raise DataError("no steps to score", "response")
        pieces = self._pieces(data, steps)
        laid = self._marked(pieces) if self.marker is not None else self._beginnings(pieces)
        if self.profile.mark.attempt:
            laid = replace(laid, positions=laid.positions[-1:], suffixes=laid.suffixes[-1:])
        longest, tokens = self.profile.use.longest, len(laid.ids)
        if longest and tokens > longest:
            raise DataError(
                f"{tokens} tokens, but the model was trained on {longest} at most", "response"
            )
        return laid

    def _first(self) -> Ids:
        bos = self.profile.text.bos
        if bos is None:
            return self._vocabulary.bos
        return (token_id(self._vocabulary, Token(bos), "bos"),) if bos else ()

    def _pieces(self, data: Mapping[str, Any], steps: Sequence[str]) -> list[list[Part]]:
        """The prompt, then each step with the joiner before it."""
        text = self.profile.text
        problem = self._clean(schema.problem_text(dict(data)))
        prompt, answer = text.prompt, None
        if "{reference}" in prompt:
            answer = schema.answer_of(dict(data))
            said = text.no_reference if answer is None else text.reference
            prompt = prompt.replace("{reference}", said)
        pieces = [fill(prompt, problem=problem, answer=answer or "")]
        for number, step in enumerate(steps, 1):
            filled = fill(text.step, step=self._clean(step, inside=True), number=str(number))
            pieces.append([(text.joiner, True), *filled] if number > 1 else filled)
        return pieces

    def _clean(self, text: str, inside: bool = False) -> str:
        how = self.profile.text.clean
        if how == "flatten" and inside:
            return " ".join(text.split("\n")).strip()
        return text.strip() if how else text

    def _marked(self, pieces: list[list[Part]]) -> Layout:
        """Markers put in by id; what looks like one in the text stays text."""
        assert self.marker is not None
        before = self.profile.mark.at == "before"
        prompt, *steps = pieces
        apart = self.profile.text.apart
        ids = list(self._beginning(prompt) if apart else self.bos)
        start = len(self._beginning(prompt))
        positions = []
        for number, step in enumerate(steps):
            if apart:
                ids += self._encoder.plain(step)
            elif number == 0:
                ids = list(self._beginning([*prompt, *step]))
            else:
                ids += self._encoder.plain(step, begins=False)
            positions.append(len(ids) - before)
            ids.append(self.marker)
        if self.profile.mark.alone and ids.count(self.marker) != len(steps):
            raise DataError(
                f'the text holds the marker "{self._vocabulary.token_text(self.marker)}", which '
                "the model takes for the end of a step"
            )
        return Layout(tuple(ids[: positions[-1] + 1]), tuple(positions), (), start)

    def _beginnings(self, pieces: list[list[Part]]) -> Layout:
        """Every beginning of the trace as if it stood alone, as branches of the whole.

        Text may be tokenised otherwise at its end than in the middle of a longer one.
        """
        ending: list[Part] = [(self.profile.text.ending, True)]
        counts = range(2, len(pieces) + 1)
        beginnings = [self._joined([*pieces[:count], ending]) for count in counts]
        whole = beginnings[-1]
        positions, suffixes, reached = [], [], -1
        for ids in beginnings:
            shared = common_length(ids, whole)
            if shared == len(ids) and shared - 1 <= reached:
                shared -= 1
            if shared < 1:
                raise DataError("its first token changes with what follows; it cannot be read")
            positions.append(shared - 1)
            suffixes.append(ids[shared:])
            reached = shared - 1 if not ids[shared:] else reached
        start = common_length(self._joined(pieces[:1]), whole)
        return Layout(whole, tuple(positions), tuple(suffixes) if any(suffixes) else (), start)

    def _joined(self, pieces: Sequence[list[Part]]) -> Ids:
        first, *others = pieces
        if not self.profile.text.apart:
            return self._beginning([part for piece in pieces for part in piece])
        return sum((self._encoder.plain(piece) for piece in others), self._beginning(first))

    def _beginning(self, parts: Sequence[Part]) -> Ids:
        ids = self._encoder.plain(parts)
        return ids if self.bos and ids[:1] == self.bos else self.bos + ids


def common_length(one: Ids, other: Ids) -> int:
    """How many ids two sequences begin with alike."""
    length = min(len(one), len(other))
    return next((at for at in range(length) if one[at] != other[at]), length)


def token_id(vocabulary: Vocabulary, token: Token, name: str) -> int:
    """The id of ``token``, checked. Raises UsageError when the vocabulary has another there."""
    if token.id is None:
        return vocabulary.token(token.text, f"--{name}")
    if token.id < vocabulary.n_vocab:
        there = vocabulary.token_text(token.id)
        piece = vocabulary.detokenize((token.id,)).decode("utf-8", "replace")
        if token.text in (there, piece):
            return token.id
        found = f'"{there}"'
    else:
        found = f"nothing, of {vocabulary.n_vocab} tokens"
    raise UsageError(
        f'the model is not of this profile: its {name} "{token.text}" should be token {token.id}, '
        f"where its vocabulary has {found}"
    )
