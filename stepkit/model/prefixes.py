"""Traces to token ids: the prompt, the response, and every prefix of it.

A prefix consists of the very tokens that were sampled when the trace was drawn here with the same
vocabulary; otherwise the response is tokenised once and cut at the step's boundary, or, where a
token spans the cut, the text before the cut is tokenised by itself, with a check that the tokens
join to its bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Protocol

from stepkit import schema
from stepkit.errors import DataError
from stepkit.model.chat import Prompter
from stepkit.seeds import digest

Ids = tuple[int, ...]


class PrefixVocabulary(Protocol):
    """What this module needs of a model, or of text (model/servers/byte_vocabulary.py)."""

    @property
    def n_vocab(self) -> int: ...
    @property
    def pieces(self) -> list[bytes]: ...

    def tokenize_exact(self, text: str) -> Ids | None: ...

    def detokenize(self, ids: Ids) -> bytes: ...


class Prefixes:
    """Token prefixes of traces for one model and prompt layout."""

    def __init__(self, model: PrefixVocabulary, prompter: Prompter) -> None:
        self.model = model
        self.prompter = prompter
        self.vocabulary = digest("vocabulary", b"\0".join(model.pieces))
        """Identity of the token table; ids in a record are used only under an equal one."""

    def prompt(self, record: dict[str, Any]) -> Ids:
        """Token ids of the record's problem, laid out for this model. Raises DataError."""
        return self.prompter.prompt(schema.problem_text(record), _messages(record))

    def laid_out(self, record: dict[str, Any]) -> str | None:
        """The same as text, with {problem} for the problem (Prompter.laid_out). Raises
        DataError."""
        return self.prompter.laid_out(schema.problem_text(record), _messages(record))

    def response(self, record: dict[str, Any]) -> Ids:
        """Token ids of exactly ``response``: those sampled, if they are known.

        Raises DataError when the vocabulary cannot encode the text.
        """
        text = schema.text(record, "response")
        sample = record.get("sample")
        if isinstance(sample, dict) and isinstance(sample.get("ids"), list):
            kept = self.known(sample["ids"], text, sample.get("sampler"))
            if kept is not None:
                return kept
        return self.exact(text)

    def at_cuts(self, record: dict[str, Any], steps: Sequence[str]) -> list[Ids]:
        """Prompt and prefix ids at every cut: before step 0, ..., after the last step.

        Returns len(steps) + 1 entries. Raises DataError where the vocabulary cannot encode a
        prefix."""
        prompt = self.prompt(record)
        if not steps:
            return [prompt]
        ids = self.response(record)
        boundary = {0: 0}  # bytes of the response -> tokens that end just there
        for count, offset in enumerate(self.ends(ids), 1):
            boundary.setdefault(offset, count)
        prefixes = [prompt]
        prefix = ""
        for step in steps:
            prefix += step
            count = boundary.get(len(_bytes(prefix)), -1)
            prefixes.append(prompt + (ids[:count] if count >= 0 else self.exact(prefix)))
        return prefixes

    def whole(self, record: dict[str, Any]) -> int | None:
        """Tokens of the prompt and a whole attempt: the record's response, or its solution; None
        without these."""
        if record.get("response") is not None:
            return len(self.prompt(record)) + len(self.response(record))
        solution = schema.optional_text(record, "solution")
        return None if solution is None else len(self.prompt(record)) + len(self.exact(solution))

    def known(self, ids: Sequence[int], text: str, sampler: object) -> Ids | None:
        """``ids`` if ``sampler`` drew them with this vocabulary and they join to ``text``."""
        kept = tuple(ids)
        if not self._drew(sampler) or not all(self._is_token(token) for token in kept):
            return None
        return kept if self.model.detokenize(kept) == _bytes(text) else None

    def exact(self, text: str) -> Ids:
        """``text`` tokenised as a whole. Raises DataError when the tokens do not join to it."""
        ids = self.model.tokenize_exact(text)
        if ids is None:
            raise DataError("the model's vocabulary does not give this text back", "response")
        return ids

    def ends(self, ids: Ids) -> list[int]:
        """Byte offset at which each token ends."""
        pieces = self.model.pieces
        return list(accumulate(len(pieces[token]) for token in ids))

    def _drew(self, sampler: object) -> bool:
        return isinstance(sampler, dict) and sampler.get("vocabulary") == self.vocabulary

    def _is_token(self, value: object) -> bool:
        return type(value) is int and 0 <= value < self.model.n_vocab


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _messages(record: dict[str, Any]) -> list[dict[str, str]] | None:
    """The record's own chat up to its last user message; None when it states a plain problem."""
    prompt = record.get("prompt")
    if "problem" in record or not isinstance(prompt, list):
        return None
    chat = prompt[: schema.last_user(prompt) + 1]
    return [_message(message, f"prompt[{index}]") for index, message in enumerate(chat)]


def _message(message: Any, field: str) -> dict[str, str]:
    if not isinstance(message, dict):
        raise DataError(f"expected an object, got {schema.name_of(message)}", field)
    for key in ("role", "content"):
        if not isinstance(message.get(key), str):
            got = schema.name_of(message.get(key))
            raise DataError(f"expected a string, got {got}", f"{field}.{key}")
    return {"role": message["role"], "content": message["content"]}
