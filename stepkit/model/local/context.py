"""The key-value cache of a model in llama.cpp, and the decode call.

What to decode when is decided by the engines (slot_engine.py, read_engine.py).
"""

from __future__ import annotations

import ctypes
from typing import Any

from stepkit import interrupts
from stepkit.activity import activity
from stepkit.errors import FailedError
from stepkit.model.local.context_sizes import ContextSizes
from stepkit.model.local.decode_batch import DecodeBatch, HiddenStates
from stepkit.model.local.llama import Model, clear_log, failure_reason


class Context:
    """Key-value memory for ``layout.sequences`` sequences, and the decode call.

    In the exact layout every sequence has a stream of its own and flash attention is off, so that
    a row's result does not depend on what else is in the batch (see slot_engine.py).
    """

    def __init__(self, model: Model, layout: ContextSizes) -> None:
        self._lib = lib = model._lib
        self.model = model
        self.layout = layout
        parameters = lib.llama_context_default_params()
        parameters.n_seq_max = layout.sequences
        parameters.n_ctx = layout.cells
        parameters.n_batch, parameters.n_ubatch = layout.batch, layout.ubatch
        parameters.n_outputs_max = layout.outputs
        parameters.n_threads = parameters.n_threads_batch = layout.threads
        parameters.kv_unified = layout.unified
        parameters.swa_full = True  # a part of it could not be cut, copied or continued
        parameters.flash_attn_type = _flash_attention(lib, model, layout)
        if model.wide:
            parameters.type_k = parameters.type_v = lib.GGML_TYPE_F32
        parameters.no_perf = True
        self._states = HiddenStates(lib) if layout.unified else None
        if self._states is not None:
            parameters.cb_eval = self._states.callback
        clear_log()
        with activity("making room for the model's cache"):
            self._context = lib.llama_init_from_model(model._model, parameters)
        if not self._context:
            raise FailedError(
                f"no memory for {layout.sequences} sequences of {layout.context} tokens "
                f"({failure_reason()}); lower --slots or --context"
            )
        self._memory = lib.llama_get_memory(self._context)
        self.context = min(layout.context, int(lib.llama_n_ctx_seq(self._context)))
        self._abort = lib.llama_cpp.ggml_abort_callback(lambda _data: interrupts.requested() != 0)
        lib.llama_set_abort_callback(self._context, self._abort, ctypes.c_void_p(0))
        self._batch = DecodeBatch(lib, layout.batch)

    def close(self) -> None:
        if self._context:
            self._lib.llama_free(self._context)
            self._context = None

    def forget(self, slot: int, start: int = 0) -> None:
        """Remove the tokens of ``slot`` from position ``start`` on."""
        if not self._lib.llama_memory_seq_rm(self._memory, slot, start, -1):
            raise FailedError("llama.cpp cannot cut a sequence of this model")

    def copy(self, source: int, target: int, length: int) -> None:
        """Make ``target`` hold the first ``length`` tokens of ``source``."""
        self.forget(target)
        # only whole sequences can be copied: a part would abort
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self.forget(target, length)

    def share(self, source: int, target: int, length: int) -> None:
        """Make ``target``, which holds nothing, start with the first ``length`` tokens of
        ``source`` in a unified layout: the cells are shared, and nothing is copied."""
        if not self.layout.unified:
            raise FailedError("internal: sequences of streams share nothing")
        self._lib.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def decode(
        self, tokens: Any, positions: Any, slots: Any, wanted: Any, hidden: bool = False
    ) -> Any:
        """Run one batch.

        Args:
            tokens, positions, slots: [n] integers; positions of a slot continue those that it
                holds.
            wanted: [n] 0 or 1, rows whose output is wanted.
            hidden: give hidden states instead of logits (see decode_batch.HiddenStates); the
                layout is unified.

        Returns:
            [number wanted, n_vocab] float32 logits in batch order, a view that the next decode
            overwrites, or [number wanted, width] hidden states; None when none are wanted.

        Raises:
            FailedError: llama.cpp could not run the batch, or has no hidden states.
            Interrupted: a signal arrived; the decode was given up.
        """
        rows = self._batch.fill(tokens, positions, slots, wanted)
        if rows > self.layout.outputs:
            raise FailedError(f"internal: a batch with {rows} rows of logits")
        if hidden and self._states is None:
            raise FailedError("internal: hidden states are read in a unified layout")
        if self._states is not None:
            self._states.begin(hidden and rows > 0)
        with interrupts.deferred():
            status = self._lib.llama_decode(self._context, self._batch.struct)
            if status == 0:
                if hidden and rows and self._states is not None:
                    return self._states.rows(rows)
                return self._rows(rows)
        if status == 2:
            raise FailedError("llama.cpp gave up a decode")
        hint = "; lower --slots or --context" if status == 1 else ""
        raise FailedError(f"llama.cpp: decode failed ({status}): {failure_reason()}{hint}")

    def _rows(self, rows: int) -> Any:
        if rows == 0:
            return None
        import numpy

        logits = self._lib.llama_get_logits(self._context)
        return numpy.ctypeslib.as_array(logits, shape=(rows, self.model.n_vocab))


def _flash_attention(lib: Any, model: Model, layout: ContextSizes) -> int:
    """Off, where results must be exact and where it is slower (measured): on processors."""
    if layout.exact or not model.on_gpu:
        return int(lib.LLAMA_FLASH_ATTN_TYPE_DISABLED)
    return int(lib.LLAMA_FLASH_ATTN_TYPE_AUTO)
