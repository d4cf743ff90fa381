"""Grammars (GBNF) as llama.cpp follows them."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stepkit.errors import UsageError
from stepkit.model.local.llama import Model


class Grammar:
    """The tokens that a GBNF grammar allows next; one state per draw.

    Raises UsageError with llama.cpp's reason when the grammar is none.
    """

    def __init__(self, model: Model, text: str) -> None:
        self._lib, self._model = model._lib, model
        with _captured_stderr() as lines:
            self._state = self._lib.llama_sampler_init_grammar(model._vocab, text.encode(), b"root")
        if not self._state:
            reason = lines[0].strip().splitlines() or ["no reason given"]
            raise UsageError(f"--grammar: {reason[0]}")

    def copy(self) -> Grammar:
        """The same grammar in the same state."""
        other = object.__new__(Grammar)
        other._lib, other._model = self._lib, self._model
        other._state = self._lib.llama_sampler_clone(self._state)
        return other

    def allowed(self, tokens: Any) -> Any:
        """[n] bool: which of ``tokens`` [n] may come next."""
        import numpy

        lib = self._lib
        data = numpy.zeros(len(tokens), [("id", "i4"), ("logit", "f4"), ("p", "f4")])
        data["id"] = tokens
        pointer = ctypes.cast(data.ctypes.data, ctypes.POINTER(lib.llama_token_data))
        array = lib.llama_token_data_array(pointer, len(tokens), -1, False)
        lib.llama_sampler_apply(self._state, ctypes.byref(array))
        return numpy.isfinite(data["logit"])

    def accept(self, token: int) -> None:
        """Advance by a token, which must be allowed (else llama.cpp aborts)."""
        self._lib.llama_sampler_accept(self._state, token)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._lib.llama_sampler_free(self._state)
            self._state = None


@contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """The text that C code writes to standard error; filled in at the end."""
    written: list[str] = []
    with tempfile.TemporaryFile() as file:
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield written
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            written.append(file.read().decode("utf-8", "replace"))
