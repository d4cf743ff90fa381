"""The vocabulary of a GGUF: tokens, their bytes, and the two ways between them and text."""

from __future__ import annotations

import ctypes
from typing import Any

from stepkit.errors import UsageError
from stepkit.seeds import digest


class GgufVocabulary:
    """The tokens of a loaded model.

    Args:
        lib: the llama_cpp library.
        vocab: its pointer to the vocabulary.
    """

    def __init__(self, lib: Any, vocab: Any) -> None:
        self._lib = lib
        self._vocab = vocab
        self.n_vocab = int(lib.llama_vocab_n_tokens(vocab))
        self._pieces: list[bytes] | None = None
        self._special: dict[str, int] | None = None

    @property
    def bos(self) -> tuple[int, ...]:
        """The beginning-of-text token as a sequence, empty when the model uses none."""
        if not self._lib.llama_vocab_get_add_bos(self._vocab):
            return ()
        token = self._lib.llama_vocab_bos(self._vocab)
        return (token,) if token >= 0 else ()

    @property
    def bos_text(self) -> str:
        """Text of the beginning-of-text token, for chat templates that name it."""
        return self._text_or_nothing(self._lib.llama_vocab_bos(self._vocab))

    @property
    def eos_text(self) -> str:
        """Text of the end-of-text token, for chat templates that name it."""
        return self._text_or_nothing(self._lib.llama_vocab_eos(self._vocab))

    def _text_or_nothing(self, token: int) -> str:
        return self.token_text(token) if token >= 0 else ""

    @property
    def pieces(self) -> list[bytes]:
        """``pieces[id]``: the bytes that a token stands for; control tokens stand for none."""
        if self._pieces is None:
            self._pieces = [self._piece(token, False) for token in range(self.n_vocab)]
        return self._pieces

    def _piece(self, token: int, special: bool) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = self._lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, special)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    @property
    def vocabulary(self) -> str:
        """Identity of the vocabulary: every token's text, in order, and what ends a text."""
        texts = [self._lib.llama_vocab_get_text(self._vocab, t) for t in range(self.n_vocab)]
        return digest(texts, self.bos, sorted(self.ends_generation()))

    def ends_generation(self) -> frozenset[int]:
        """Ids of the end-of-generation tokens."""
        is_end = self._lib.llama_vocab_is_eog
        return frozenset(t for t in range(self.n_vocab) if is_end(self._vocab, t))

    def special_tokens(self) -> dict[str, int]:
        """Text -> id of the control and user-defined tokens, which text alone never yields."""
        lib = self._lib
        wanted = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_USER_DEFINED
        found = {}
        for token in range(self.n_vocab):
            if lib.llama_vocab_get_attr(self._vocab, token) & wanted:
                text = lib.llama_vocab_get_text(self._vocab, token)
                if text:
                    found[text.decode("utf-8", "replace")] = token
        return found

    def token_text(self, token: int) -> str:
        """The vocabulary's own text of a token id. Raises UsageError outside the vocabulary."""
        if not 0 <= token < self.n_vocab:
            raise UsageError(
                f"token id {token} is outside the vocabulary (0 .. {self.n_vocab - 1})"
            )
        return self._lib.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace")

    def token(self, name: str, option: str) -> int:
        """The id of a token named by its text or its number. Raises UsageError for ``option``."""
        if self._special is None:
            self._special = self.special_tokens()
        if name in self._special:
            return self._special[name]
        if name.isdecimal() and int(name) < self.n_vocab:
            return int(name)
        ids = self.tokenize_exact(name) or ()
        if len(ids) != 1:
            count = len(ids) or "none"
            raise UsageError(f'{option}: "{name}" is not one token of this model, but {count}')
        return ids[0]

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Token ids of plain text: no beginning-of-text token, special tokens never parsed."""
        raw = text.encode("utf-8", "surrogatepass")
        size = len(raw) + 8
        while True:
            buffer = (ctypes.c_int32 * size)()
            count = self._lib.llama_tokenize(self._vocab, raw, len(raw), buffer, size, False, False)
            if count >= 0:
                return tuple(buffer[:count])
            size = -count

    def tokenize_exact(self, text: str) -> tuple[int, ...] | None:
        """Ids whose pieces join to exactly ``text``, or None when the vocabulary has none.

        SentencePiece vocabularies put a space before a text, except after a line break; so a line
        break is put in front, and its tokens are dropped.
        """
        raw = text.encode("utf-8", "surrogatepass")
        ids = self.tokenize(text)
        if self.detokenize(ids) == raw:
            return ids
        guarded = self.tokenize("\n" + text)
        for count in range(1, min(4, len(guarded)) + 1):
            if self.detokenize(guarded[:count]).endswith(b"\n"):
                after = guarded[count:]
                return after if self.detokenize(after) == raw else None
        return None

    def detokenize(self, ids: tuple[int, ...]) -> bytes:
        """The bytes that ``ids`` stand for, joined piece by piece."""
        pieces = self.pieces
        return b"".join(pieces[token] for token in ids)
