"""llama.cpp, in process: the only module that imports llama_cpp.

A thin binding: load a model, tokenise, decode one batch, read rows of logits. Every precondition
whose violation would abort the process (llama.cpp asserts) is checked before the call, and every
return code becomes an error that says what to change. What to decode when is not decided here
(see slot_engine.py).
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from typing import Any

from stepkit import interrupts
from stepkit.errors import FailedError, UsageError
from stepkit.model.local.context_sizes import ContextSizes, check_room
from stepkit.model.local.decode_batch import DecodeBatch, HiddenStates
from stepkit.modelfile import check_file, fingerprint
from stepkit.seeds import digest

_log: deque[str] = deque(maxlen=50)
_callbacks: list[Any] = []  # ctypes callbacks must outlive the library's use of them


def _library() -> Any:
    """Import llama_cpp with its log going to our ring buffer instead of stderr."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # GNU's OpenMP spins for milliseconds where threads wait for each other; on a machine
        # that does anything else beside, that is most of the time (read when it is loaded)
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import llama_cpp

    if not _callbacks:

        @llama_cpp.llama_log_callback
        def keep(level: int, text: bytes, _data: Any) -> None:
            _log.append(text.decode("utf-8", "replace"))

        _callbacks.append(keep)
        llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
    return llama_cpp


def log_text() -> str:
    """The last lines that llama.cpp logged."""
    return "".join(_log)


class Model:
    """A loaded GGUF and its vocabulary.

    Raises UsageError when the file is no GGUF, FailedError with llama.cpp's own reason when it
    cannot be loaded.
    """

    def __init__(
        self,
        path: str,
        *,
        gpu_layers: int = 0,
        main_gpu: int | None = None,
        tensor_split: tuple[float, ...] = (),
        option: str = "--model",
        vocabulary_only: bool = False,
    ) -> None:
        check_file(path, option)
        self._lib = lib = _library()
        self.path = path
        self.gpu_layers = gpu_layers
        parameters = lib.llama_model_default_params()
        parameters.n_gpu_layers = gpu_layers
        parameters.vocab_only = vocabulary_only
        _place(lib, parameters, gpu_layers, main_gpu, tensor_split)
        parameters.use_extra_bufts = use_extra_buffers(system_information())
        _log.clear()
        self._model = lib.llama_model_load_from_file(os.fsencode(path), parameters)
        if not self._model:
            raise FailedError(f"{option} {path}: llama.cpp cannot load it: {_reason()}")
        self._vocab = lib.llama_model_get_vocab(self._model)
        self.n_vocab = int(lib.llama_vocab_n_tokens(self._vocab))
        self.trained_context = int(lib.llama_model_n_ctx_train(self._model))
        self._pieces: list[bytes] | None = None
        self._special: dict[str, int] | None = None
        self.fingerprint = fingerprint(path)
        if kind := self._unsupported():
            raise UsageError(f"{option} {path}: {kind} models are not supported")

    def _unsupported(self) -> str:
        """What kind of model this is, if sequences of it cannot be continued, cut and copied."""
        lib, model = self._lib, self._model
        if lib.llama_model_has_encoder(model) or not lib.llama_model_has_decoder(model):
            return "encoder"
        if lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model):
            return "recurrent"
        return "diffusion" if lib.llama_model_is_diffusion(model) else ""

    def close(self) -> None:
        if self._model:
            self._lib.llama_model_free(self._model)
            self._model = None

    # -- metadata ---------------------------------------------------------------------------

    def metadata(self, key: str) -> str | None:
        """The GGUF's metadata value at ``key`` as text, or None."""
        size = 1 << 12
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = self._lib.llama_model_meta_val_str(self._model, key.encode(), buffer, size)
            if length < 0:
                return None
            if length < size:
                return buffer.raw[:length].decode("utf-8", "replace")
            size = length + 1

    @property
    def build(self) -> dict[str, object]:
        """What decides rounding beside the model: the library, its buffers, where layers lie."""
        return {
            "llama-cpp-python": self._lib.__version__,
            "extra_buffers": use_extra_buffers(system_information()),
            "gpu_layers": self.gpu_layers,
        }

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return int(self._lib.llama_model_n_embd(self._model))

    @property
    def on_gpu(self) -> bool:
        """Whether all layers lie on a GPU, so that decoding leaves the processor alone."""
        layers = int(self._lib.llama_model_n_layer(self._model))
        offloads = bool(self._lib.llama_supports_gpu_offload())
        # the output counts as one layer more
        return offloads and (self.gpu_layers < 0 or self.gpu_layers > layers)

    @property
    def wide(self) -> bool:
        """Whether all weights are 32-bit numbers; then so is the cache, which would else be the
        only place where digits are lost."""
        said = ctypes.create_string_buffer(256)
        self._lib.llama_model_desc(self._model, said, len(said))
        return b"all F32" in said.value

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes of key-value cache for one token of one sequence."""
        lib, model = self._lib, self._model
        heads = max(1, lib.llama_model_n_head(model))
        stated = self.metadata(f"{self.metadata('general.architecture')}.attention.key_length")
        per_head = int(stated) if stated else lib.llama_model_n_embd(model) // heads
        numbers = 2 * lib.llama_model_n_layer(model) * lib.llama_model_n_head_kv(model) * per_head
        return int(numbers) * (4 if self.wide else 2)

    # -- vocabulary -------------------------------------------------------------------------

    @property
    def bos(self) -> tuple[int, ...]:
        """The beginning-of-text token as a sequence, empty when this model wants none."""
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

    def token(self, said: str, option: str) -> int:
        """The id of a token given by its text, or by its number. Raises UsageError."""
        if self._special is None:
            self._special = self.special_tokens()
        if said in self._special:
            return self._special[said]
        if said.isdecimal() and int(said) < self.n_vocab:
            return int(said)
        ids = self.tokenize_exact(said) or ()
        if len(ids) != 1:
            count = len(ids) or "none"
            raise UsageError(f'{option}: "{said}" is not one token of this model, but {count}')
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
        """Ids whose pieces join to exactly ``text``, or None when the vocabulary cannot say it.

        SentencePiece vocabularies put a space before a text; behind a line break they do not, so a
        line break goes in front and its tokens are dropped.
        """
        raw = text.encode("utf-8", "surrogatepass")
        ids = self.tokenize(text)
        if self.detokenize(ids) == raw:
            return ids
        guarded = self.tokenize("\n" + text)
        for count in range(1, min(4, len(guarded)) + 1):
            if self.detokenize(guarded[:count]).endswith(b"\n"):
                rest = guarded[count:]
                return rest if self.detokenize(rest) == raw else None
        return None

    def detokenize(self, ids: tuple[int, ...]) -> bytes:
        """The bytes that ``ids`` stand for, joined piece by piece."""
        pieces = self.pieces
        return b"".join(pieces[token] for token in ids)


def _place(
    lib: Any, parameters: Any, layers: int, main_gpu: int | None, split: tuple[float, ...]
) -> None:
    """Say on which GPUs the layers lie. Raises UsageError for what this llama.cpp cannot do."""
    if layers == 0:
        return
    if not lib.llama_supports_gpu_offload():
        raise UsageError(
            "--gpu-layers: this llama.cpp was built without GPU support; build it again, as with "
            'CMAKE_ARGS="-DGGML_CUDA=on" pip install --force-reinstall --no-cache-dir '
            "llama-cpp-python"
        )
    most = int(lib.llama_max_devices())
    if len(split) > most:
        raise UsageError(f"--tensor-split: {len(split)} parts, but at most {most} devices")
    if main_gpu is not None:
        parameters.main_gpu = main_gpu
        if not split:
            parameters.split_mode = lib.LLAMA_SPLIT_MODE_NONE
    if split:
        # zero for the devices that are not named; llama.cpp reads it while loading
        parameters.tensor_split = (ctypes.c_float * most)(*split)


def system_information() -> str:
    """llama.cpp's line about the processor features it was built for."""
    return str(_library().llama_print_system_info().decode("utf-8", "replace"))


def use_extra_buffers(information: str) -> bool:
    """Whether llama.cpp may repack weights for special instructions.

    Its AMX path crashes on quantised weights where the compiler takes the stores to the tile
    configuration for dead (gcc 12 does), so a build with AMX does without, unless
    STEPKIT_EXTRA_BUFFERS is set to 1 (or 0, to do without anywhere). Built with -fno-tree-dse
    -fno-dse it works, and keeps the exact layout's promises
    (tests/model/local/test_slot_engine.py passes).
    """
    forced = os.environ.get("STEPKIT_EXTRA_BUFFERS", "")
    if forced:
        return forced != "0"
    return "AMX_INT8 = 1" not in information


def _reason() -> str:
    """The most telling line of llama.cpp's log about a failure."""
    lines = [line.strip() for line in log_text().splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() or "fail" in line.lower()]
    return (telling or lines or ["no reason given"])[0]


class Context:
    """Key-value memory for ``layout.sequences`` sequences, and the decode call.

    In the exact layout every sequence has a stream of its own and flash attention is off, so that
    a row's result does not depend on what else is in the batch (see slot_engine.py).
    """

    def __init__(self, model: Model, layout: ContextSizes) -> None:
        self._lib = lib = model._lib
        self.model = model
        self.layout = layout
        check_room(model, layout)
        parameters = lib.llama_context_default_params()
        parameters.n_seq_max = layout.sequences
        parameters.n_ctx = layout.cells
        parameters.n_batch, parameters.n_ubatch = layout.batch, layout.ubatch
        parameters.n_outputs_max = layout.outputs
        parameters.n_threads = parameters.n_threads_batch = layout.threads
        parameters.kv_unified = layout.unified
        parameters.flash_attn_type = _flash_attention(lib, model, layout)
        if model.wide:
            parameters.type_k = parameters.type_v = lib.GGML_TYPE_F32
        parameters.no_perf = True
        self._states = HiddenStates(lib) if layout.unified else None
        if self._states is not None:
            parameters.cb_eval = self._states.callback
        _log.clear()
        self._context = lib.llama_init_from_model(model._model, parameters)
        if not self._context:
            raise FailedError(
                f"no memory for {layout.sequences} sequences of {layout.context} tokens "
                f"({_reason()}); lower --slots or --context"
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
        """Drop what ``slot`` holds from position ``start`` on."""
        if not self._lib.llama_memory_seq_rm(self._memory, slot, start, -1):
            raise FailedError("llama.cpp cannot cut a sequence of this model")

    def copy(self, source: int, target: int, length: int) -> None:
        """Make ``target`` hold the first ``length`` tokens of what ``source`` holds."""
        self.forget(target)
        # only whole sequences can be copied: a part would abort
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        self.forget(target, length)

    def share(self, source: int, target: int, length: int) -> None:
        """Make ``target``, which holds nothing, begin with the first ``length`` tokens of
        ``source``, in a unified layout: nothing is moved."""
        if not self.layout.unified:
            raise FailedError("internal: sequences of streams share nothing")
        self._lib.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def decode(
        self, tokens: Any, positions: Any, slots: Any, wanted: Any, hidden: bool = False
    ) -> Any:
        """Run one batch.

        Args:
            tokens, positions, slots: [n] integers; positions of a slot follow on from what it
                holds.
            wanted: [n] 0 or 1, rows whose output is wanted.
            hidden: give hidden states instead of logits (see States); the layout is unified.

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
        raise FailedError(f"llama.cpp: decode failed ({status}): {_reason()}{hint}")

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
