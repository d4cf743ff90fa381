"""Traces to token ids and the positions that are read, by a profile.

Pure, except for the vocabulary that it gets. Every check comes before a score: a trace that cannot
be laid out as the model was trained is refused, never cut and never read elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Protocol

from stepkit import schema
from stepkit.core.common_prefix import common_length
from stepkit.errors import DataError, UsageError
from stepkit.model.chat import ChatTemplate, Part, PromptEncoder, fill
from stepkit.model.prefixes import Ids
from stepkit.model.profiles.profile import OWN_BOS, Profile, ProfileText, ProfileToken


class LayoutVocabulary(Protocol):
    """What this module needs of a model."""

    n_vocab: int

    @property
    def bos(self) -> Ids: ...

    @property
    def bos_text(self) -> str: ...

    @property
    def eos_text(self) -> str: ...

    def metadata(self, key: str) -> str | None: ...

    def special_tokens(self) -> dict[str, int]: ...

    def tokenize(self, text: str) -> Ids: ...

    def tokenize_exact(self, text: str) -> Ids | None: ...

    def detokenize(self, ids: Ids) -> bytes: ...

    def token_text(self, token: int) -> str: ...

    def token(self, name: str, option: str) -> int: ...


@dataclass(frozen=True)
class TokenLayout:
    """The input of a model for one trace, and where it is read.

    Attributes:
        ids: the whole input.
        positions: indices into ``ids``, one per step (one in all for a profile that reads whole
            attempts). Those that are read themselves increase strictly.
        suffixes: empty, or for each position the ids that follow ``ids[: position + 1]`` instead:
            the number is then read at their end. Where they are empty the position itself is read.
        start: of an implicit model: index of the first token that counts.
    """

    ids: Ids
    positions: tuple[int, ...]
    suffixes: tuple[Ids, ...] = ()
    start: int = 0


class TokenLayouter:
    """Lays traces out for one model by one profile.

    Raises UsageError when the vocabulary is not that of the profile.
    """

    def __init__(self, vocabulary: LayoutVocabulary, profile: Profile) -> None:
        self.profile = profile
        self._vocabulary = vocabulary
        self._encoder = PromptEncoder(vocabulary)
        self._bos = _bos_of(vocabulary, profile.text.bos)
        self._prompt = _chat(vocabulary, profile.text) if profile.text.chat else profile.text.prompt
        marker = profile.mark.marker
        self.marker = token_id(vocabulary, marker, "marker") if marker else None

    def layout(self, record: dict[str, Any], steps: Sequence[str]) -> TokenLayout:
        """Lay out an attempt, or a prefix of one, at the problem of ``record``.

        Raises DataError when there are no steps, when the text holds a marker that must stand
        alone, or when the whole is longer than what the model was trained on.
        """
        if not steps:
            raise DataError("no steps to score", "response")
        prompt, pieces = self._pieces(record, steps)
        if self.marker is not None:
            laid = self._marked(prompt, pieces)
        elif self.profile.kind == "implicit":
            laid = self._whole(prompt, pieces)
        else:
            laid = self._prefixes(prompt, pieces)
        if self.profile.mark.attempt:
            laid = replace(laid, positions=laid.positions[-1:], suffixes=laid.suffixes[-1:])
        if laid.positions[0] < 0:
            raise DataError("no token stands before the first position that is read")
        longest, tokens = self.profile.use.longest, len(laid.ids)
        if longest and tokens > longest:
            raise DataError(
                f"{tokens} tokens, but the model was trained on {longest} at most", "response"
            )
        return laid

    def _pieces(
        self, record: dict[str, Any], steps: Sequence[str]
    ) -> tuple[list[Part], list[list[Part]]]:
        """The prompt, and the steps with the joiner before each but the first."""
        text = self.profile.text
        form, answer = self._prompt, None
        if "{reference}" in form:
            answer = schema.answer_of(record)
            reference = text.no_reference if answer is None else text.reference
            form = form.replace("{reference}", reference)
        problem = schema.problem_text(record)
        problem = problem.strip() if text.clean else problem
        pieces = [self._step(number, step) for number, step in enumerate(steps, 1)]
        joined = [[(text.joiner, True), *piece] for piece in pieces[1:]]
        return fill(form, problem=problem, answer=answer or ""), [pieces[0], *joined]

    def _step(self, number: int, step: str) -> list[Part]:
        text = self.profile.text
        if text.clean == "flatten":
            step = " ".join(step.split("\n"))
        if text.clean:
            step = step.strip()
        form = text.step.replace("{number}", str(number))
        before = form.partition("{step}")[0].strip()
        if before and step.startswith(before):
            step = step[len(before) :].lstrip()
        return fill(form, step=step)

    def _marked(self, prompt: list[Part], steps: list[list[Part]]) -> TokenLayout:
        """Markers put in by id; text that looks like one stays text."""
        assert self.marker is not None
        apart, before = self.profile.text.apart, self.profile.mark.at == "before"
        ids = list(self._with_bos(prompt if apart else [*prompt, *steps[0]]))
        positions = []
        for number, step in enumerate(steps):
            if apart or number > 0:
                ids += self._encoder.plain(step, starts=apart == "all" or number == 0)
            positions.append(len(ids) - before)
            ids.append(self.marker)
        if self.profile.mark.alone and ids.count(self.marker) != len(steps):
            raise DataError(
                f'the text holds the marker "{self._vocabulary.token_text(self.marker)}", which '
                "the model takes for the end of a step"
            )
        return TokenLayout(tuple(ids[: positions[-1] + 1]), tuple(positions))

    def _prefixes(self, prompt: list[Part], steps: list[list[Part]]) -> TokenLayout:
        """Every prefix of the trace as if it stood alone, as branches of the whole.

        Text may be tokenised in another way at its end than in the middle of a longer text.
        """
        ending: list[Part] = [(self.profile.text.ending, True)]
        counts = range(1, len(steps) + 1)
        prefixes = [self._joined(prompt, [*steps[:count], ending]) for count in counts]
        if back := -self.profile.mark.offset:
            prefixes = [ids[:-back] for ids in prefixes]
        whole = prefixes[-1]
        positions, suffixes, reached = [], [], -1
        for ids in prefixes:
            shared = common_length(ids, whole)
            if shared == len(ids) and shared - 1 <= reached:
                shared -= 1
            if shared < 1:
                raise DataError("its first token changes with what follows; it cannot be read")
            positions.append(shared - 1)
            suffixes.append(ids[shared:])
            reached = shared - 1 if not ids[shared:] else reached
        return TokenLayout(whole, tuple(positions), tuple(suffixes) if any(suffixes) else ())

    def _whole(self, prompt: list[Part], steps: list[list[Part]]) -> TokenLayout:
        """The whole trace, and where each step ends in it.

        An end is counted in a prefix that is tokenised alone, as in the code of the method
        (PRIME-RL/ImplicitPRM). No step ends before the previous one, though a longer text may have
        fewer tokens.
        """
        ids = self._joined(prompt, [*steps, [(self.profile.text.ending, True)]])
        counts = range(1, len(steps) + 1)
        ends = [len(self._joined(prompt, steps[:count])) for count in counts]
        last, offset = len(ids) - 1, self.profile.mark.offset
        start = max(1, len(self._with_bos(prompt)) - self.profile.readout.lead)
        positions = accumulate((min(end - 1 + offset, last) for end in ends), max)
        return TokenLayout(ids, tuple(positions), (), start)

    def _joined(self, prompt: list[Part], pieces: list[list[Part]]) -> Ids:
        apart = self.profile.text.apart
        if not apart:
            return self._with_bos([*prompt, *(part for piece in pieces for part in piece)])
        alone = pieces if apart == "all" else [[part for piece in pieces for part in piece]]
        return sum(map(self._encoder.plain, alone), self._with_bos(prompt))

    def _with_bos(self, parts: Sequence[Part]) -> Ids:
        ids = self._encoder.plain(parts)
        return ids if self._bos and ids[:1] == self._bos else self._bos + ids


def _bos_of(vocabulary: LayoutVocabulary, bos: str | None) -> Ids:
    if bos is None:
        return vocabulary.bos
    text = vocabulary.bos_text if bos == OWN_BOS else bos
    return (token_id(vocabulary, ProfileToken(text), "bos"),) if text else ()


def _chat(vocabulary: LayoutVocabulary, text: ProfileText) -> str:
    """The prompt as a format: laid out by the model's own chat template."""
    source = vocabulary.metadata("tokenizer.chat_template")
    if source is None:
        raise UsageError("the profile wants the model's own chat template, and it carries none")
    special = {"bos_token": vocabulary.bos_text, "eos_token": vocabulary.eos_text}
    messages = [{"role": "user", "content": text.prompt}]
    if text.system:
        messages.insert(0, {"role": "system", "content": text.system})
    try:
        parts = ChatTemplate(source, special).parts(messages)
    except DataError as error:  # there is no record yet
        raise UsageError(str(error)) from None
    return "".join(part for part, _ in parts)


def token_id(vocabulary: LayoutVocabulary, token: ProfileToken, name: str) -> int:
    """The id of ``token``, checked. Raises UsageError when the vocabulary has another there."""
    if token.id is None:
        place = 'profile: field "bos"' if name == "bos" else f"--{name}"
        return vocabulary.token(token.text, place)
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
