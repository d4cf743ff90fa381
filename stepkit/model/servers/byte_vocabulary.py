"""The vocabulary of a model on a server: bytes of text.

A completions endpoint takes a text, so a prefix there is the text itself; its bytes take the place
of token ids, and all code that lays out, cuts and hashes prefixes works as it is. The server
tokenises the text in its own way: it puts the beginning-of-text token first, and recognises special
tokens wherever it finds them, also in the text of a problem.
"""

from __future__ import annotations

from pathlib import PurePosixPath


class ByteVocabulary:
    """The vocabulary of plain text: a token is a byte of UTF-8, and none is special."""

    bos: tuple[int, ...] = ()
    n_vocab = 256

    def __init__(self) -> None:
        self.pieces = [bytes([value]) for value in range(self.n_vocab)]

    def special_tokens(self) -> dict[str, int]:
        """None: the server recognises them."""
        return {}

    def tokenize(self, text: str) -> tuple[int, ...]:
        """The bytes of ``text``."""
        return tuple(text.encode("utf-8", "surrogatepass"))

    def tokenize_exact(self, text: str) -> tuple[int, ...] | None:
        """The bytes of ``text``, which always join to it."""
        return self.tokenize(text)

    def detokenize(self, ids: tuple[int, ...]) -> bytes:
        """The bytes themselves."""
        return bytes(ids)


def name_of(served: str) -> str:
    """A served model's name as evidence stores it: of a path, its last part only.

    llama.cpp's servers name a model by the file it was loaded from; its folder differs from machine
    to machine and is private.
    """
    if served.startswith(("/", "./", "../")) or served.endswith(".gguf"):
        return PurePosixPath(served).name
    return served
