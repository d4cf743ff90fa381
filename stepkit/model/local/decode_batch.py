"""The input of a llama.cpp decode, and the hidden states that one computes."""

from __future__ import annotations

import ctypes
from typing import Any

from stepkit.errors import FailedError


class DecodeBatch:
    """llama.cpp's batch over NumPy's memory: every field is filled by one assignment.

    Attributes:
        struct: the argument of llama_decode.
    """

    def __init__(self, lib: Any, size: int) -> None:
        import numpy

        self._count_nonzero = numpy.count_nonzero
        self._token = numpy.zeros(size, numpy.int32)
        self._position = numpy.zeros(size, numpy.int32)
        self._sequence = numpy.zeros(size, numpy.int32)
        self._wanted = numpy.zeros(size, numpy.int8)
        self._ones = numpy.ones(size, numpy.int32)
        # each token has a list of sequences, here of one: pointers into ``_sequence``
        first = self._sequence.ctypes.data
        self._lists = first + 4 * numpy.arange(size, dtype=numpy.uintp)
        self.struct = batch = lib.llama_batch()
        for name, array in (
            ("token", self._token),
            ("pos", self._position),
            ("n_seq_id", self._ones),
            ("seq_id", self._lists),
            ("logits", self._wanted),
        ):
            kind = dict(lib.llama_batch._fields_)[name]
            setattr(batch, name, ctypes.cast(array.ctypes.data, kind))

    def fill(self, tokens: Any, positions: Any, slots: Any, wanted: Any) -> int:
        """Lay one batch out; returns how many rows are wanted."""
        count = len(tokens)
        if count > len(self._token):
            raise FailedError(f"internal: a batch of {count} tokens")
        self._token[:count] = tokens
        self._position[:count] = positions
        self._sequence[:count] = slots
        self._wanted[:count] = wanted
        self.struct.n_tokens = count
        return int(self._count_nonzero(self._wanted[:count]))


class HiddenStates:
    """Hidden states of the wanted rows after the final norm: what the output matrix multiplies,
    Hugging Face's ``last_hidden_state``.

    They are read while the graph is computed, and the computation stops there. llama.cpp's own way
    (``llama_set_embeddings``) makes an output of every token: with 152k words, 600 kB of logits for
    each, and up to a sixth more work.
    """

    NODE = b"result_norm"  # its name in the graphs of nearly all architectures

    def __init__(self, lib: Any) -> None:
        self._library = library = lib.llama_cpp._lib
        library.ggml_get_name.restype = ctypes.c_char_p
        library.ggml_get_name.argtypes = [ctypes.c_void_p]
        library.ggml_nbytes.restype = ctypes.c_size_t
        library.ggml_nbytes.argtypes = [ctypes.c_void_p]
        library.ggml_backend_tensor_get.restype = None
        library.ggml_backend_tensor_get.argtypes = [
            ctypes.c_void_p,  # tensor
            ctypes.c_void_p,  # where its bytes go
            ctypes.c_size_t,  # offset
            ctypes.c_size_t,  # size
        ]
        self._wanted = False
        self._parts: list[bytes] = []
        self.callback = lib.llama_cpp.ggml_backend_sched_eval_callback(self._visit)

    def begin(self, wanted: bool) -> None:
        """Before a decode: read its states if ``wanted``."""
        self._wanted = wanted
        self._parts = []

    def rows(self, count: int) -> Any:
        """[count, width] float32: the states of the last decode. Raises FailedError."""
        import numpy

        states = numpy.frombuffer(b"".join(self._parts), numpy.float32)
        if not len(states) or len(states) % count:
            raise FailedError("llama.cpp gives no hidden states of a model of this architecture")
        return states.reshape(count, -1)

    def _visit(self, node: int, before: bool, _data: Any) -> bool:
        """Called before every node is computed, to choose the one to read, and after that one;
        false then skips the nodes that follow."""
        if not self._wanted:
            return False
        if before:
            return bool(self._library.ggml_get_name(node) == self.NODE)
        size = self._library.ggml_nbytes(node)
        buffer = ctypes.create_string_buffer(size)
        if size:
            self._library.ggml_backend_tensor_get(node, buffer, 0, size)
        self._parts.append(buffer.raw[:size])
        return False
