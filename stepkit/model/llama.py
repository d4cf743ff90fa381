"""llama.cpp, in process: the only module that imports llama_cpp.

A thin binding: load a model, tokenise, decode one batch, read rows of logits. Every precondition
whose violation would abort the process (llama.cpp asserts) is checked before the call, and every
return code becomes an error that says what to change. What to decode when is not decided here
(see slots.py).
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from stepkit import interrupts
from stepkit.errors import FailedError, UsageError

MAX_SEQUENCES = 256  # LLAMA_MAX_SEQ
CONTEXT_UNIT = 256  # llama.cpp rounds the context up to this
MIN_SEQUENCES = 8  # a call of fewer rows rounds differently, see slots.py
MAGIC = b"GGUF"

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


def check_file(path: str, option: str) -> None:
    """Raise UsageError unless ``path`` is a readable file that starts like a GGUF."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from None
    if head[:4] == MAGIC:
        return
    hint = ""
    if head.startswith(b"version http"):
        hint = "; it looks like a Git LFS pointer: fetch the file itself"
    elif head.startswith(b"PK") or head[8:10] == b'{"':
        hint = "; convert the checkpoint with llama.cpp's convert_hf_to_gguf.py"
    raise UsageError(f"{option} {path}: not a GGUF file (it starts with {head[:8]!r}){hint}")


def fingerprint(path: str) -> str:
    """Identity of a model file: its size, first and last MiB and 64 pages spread between.

    A whole hash of a model of many gigabytes would take longer than many runs.
    """
    size = os.path.getsize(path)
    state = blake2b(b"%d" % size, digest_size=8)
    with open(path, "rb") as file:
        for offset, length in _sampled_ranges(size):
            file.seek(offset)
            state.update(file.read(length))
    return state.hexdigest()


def _sampled_ranges(size: int) -> list[tuple[int, int]]:
    mebibyte, page, pages = 1 << 20, 1 << 12, 64
    if size <= 2 * mebibyte + page * pages:
        return [(0, size)]
    stride = (size - 2 * mebibyte) // pages
    spread = [(mebibyte + index * stride, page) for index in range(pages)]
    return [(0, mebibyte), *spread, (size - mebibyte, mebibyte)]


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
        option: str = "--model",
        vocab_only: bool = False,
    ) -> None:
        check_file(path, option)
        self._lib = lib = _library()
        self.path = path
        self.gpu_layers = gpu_layers
        parameters = lib.llama_model_default_params()
        parameters.n_gpu_layers = gpu_layers
        parameters.vocab_only = vocab_only  # tokenise, but decode nothing
        parameters.use_extra_bufts = use_extra_buffers(system_information())
        _log.clear()
        self._model = lib.llama_model_load_from_file(os.fsencode(path), parameters)
        if not self._model:
            raise FailedError(f"{option} {path}: llama.cpp cannot load it: {_reason()}")
        self._vocab = lib.llama_model_get_vocab(self._model)
        self.n_vocab = int(lib.llama_vocab_n_tokens(self._vocab))
        self.trained_context = int(lib.llama_model_n_ctx_train(self._model))
        self._pieces: list[bytes] | None = None
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
    def on_gpu(self) -> bool:
        """Whether all layers lie on a GPU, so that decoding leaves the processor alone."""
        layers = int(self._lib.llama_model_n_layer(self._model))
        offloads = bool(self._lib.llama_supports_gpu_offload())
        # the output counts as one layer more
        return offloads and (self.gpu_layers < 0 or self.gpu_layers > layers)

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes of key-value cache (16-bit) for one token of one sequence."""
        lib, model = self._lib, self._model
        heads = max(1, lib.llama_model_n_head(model))
        stated = self.metadata(f"{self.metadata('general.architecture')}.attention.key_length")
        per_head = int(stated) if stated else lib.llama_model_n_embd(model) // heads
        return 4 * int(lib.llama_model_n_layer(model) * lib.llama_model_n_head_kv(model) * per_head)

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


def system_information() -> str:
    """llama.cpp's line about the processor features it was built for."""
    return str(_library().llama_print_system_info().decode("utf-8", "replace"))


def use_extra_buffers(information: str) -> bool:
    """Whether llama.cpp may repack weights for special instructions.

    Built by gcc 12, its AMX path crashes on quantised weights (miscompiled tile configuration), so
    a build with AMX does without, unless STEPKIT_EXTRA_BUFFERS is set to 1 (or 0, to do without
    anywhere).
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


@dataclass(frozen=True)
class Layout:
    """Sizes of a context; all decided before the first decode.

    Attributes:
        slots: sequences that can be in flight.
        context: tokens per sequence.
        batch: most tokens in one decode.
        threads: CPU threads.
        outputs: most rows of logits in one decode.
    """

    slots: int
    context: int
    batch: int
    threads: int
    outputs: int


class Context:
    """Key-value memory for ``layout.slots`` sequences, one stream each, and the decode call.

    The exact layout: one stream per sequence and no flash attention, so that a row's result does
    not depend on what else is in the batch (as long as no call has a single row; see slots.py).
    """

    def __init__(self, model: Model, layout: Layout) -> None:
        import numpy

        self._numpy = numpy
        self._lib = lib = model._lib
        self.model = model
        _check_room(model, layout)
        parameters = lib.llama_context_default_params()
        parameters.n_seq_max = layout.slots
        parameters.n_ctx = layout.slots * layout.context
        parameters.n_batch = parameters.n_ubatch = layout.batch
        parameters.n_outputs_max = layout.outputs
        parameters.n_threads = parameters.n_threads_batch = layout.threads
        parameters.kv_unified = False
        parameters.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.no_perf = True
        _log.clear()
        self._context = lib.llama_init_from_model(model._model, parameters)
        if not self._context:
            raise FailedError(
                f"no memory for {layout.slots} sequences of {layout.context} tokens "
                f"({_reason()}); lower --slots or --context"
            )
        self._memory = lib.llama_get_memory(self._context)
        self.context = int(lib.llama_n_ctx_seq(self._context))
        self.batch = min(layout.batch, int(lib.llama_n_batch(self._context)))
        self.slots = layout.slots
        self.outputs = layout.outputs
        self._abort = lib.llama_cpp.ggml_abort_callback(lambda _data: interrupts.requested() != 0)
        lib.llama_set_abort_callback(self._context, self._abort, ctypes.c_void_p(0))
        self._batch = lib.llama_batch_init(self.batch, 0, 1)
        view, size = numpy.ctypeslib.as_array, (self.batch,)
        self._token = view(self._batch.token, shape=size)
        self._position = view(self._batch.pos, shape=size)
        self._wanted = view(self._batch.logits, shape=size)
        view(self._batch.n_seq_id, shape=size)[:] = 1
        # seq_id is an array of pointers to one int each, allocated apart: reach every cell once
        self._sequence = [self._batch.seq_id[row] for row in range(self.batch)]

    def close(self) -> None:
        if self._context:
            self._lib.llama_batch_free(self._batch)
            self._lib.llama_free(self._context)
            self._context = None

    def forget(self, slot: int, start: int = 0) -> None:
        """Drop what ``slot`` holds from position ``start`` on."""
        if not self._lib.llama_memory_seq_rm(self._memory, slot, start, -1):
            raise FailedError("llama.cpp cannot cut a sequence of this model")

    def copy(self, source: int, target: int) -> None:
        """Make ``target`` hold what ``source`` holds (whole sequences only: parts would abort)."""
        self.forget(target)
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def decode(self, tokens: Any, positions: Any, slots: Any, wanted: Any) -> Any:
        """Run one batch.

        Args:
            tokens, positions, slots: [n] integers; positions of a slot follow on from what it
                holds.
            wanted: [n] booleans, rows whose logits are wanted.

        Returns:
            [number wanted, n_vocab] float32 logits in batch order: a view that the next decode
            overwrites.

        Raises:
            FailedError: llama.cpp could not run the batch.
            Interrupted: a signal arrived; the decode was given up.
        """
        count = len(tokens)
        rows = int(self._numpy.count_nonzero(wanted))
        if count > self.batch or rows > self.outputs:
            raise FailedError(f"internal: batch of {count} tokens with {rows} outputs")
        self._token[:count] = tokens
        self._position[:count] = positions
        self._wanted[:count] = wanted
        for row, slot in enumerate(slots):
            self._sequence[row][0] = slot
        self._batch.n_tokens = count
        with interrupts.deferred():
            status = self._lib.llama_decode(self._context, self._batch)
            if status == 0:
                return self._rows(rows)
        if status == 2:
            raise FailedError("llama.cpp gave up a decode")
        hint = "; lower --slots or --context" if status == 1 else ""
        raise FailedError(f"llama.cpp: decode failed ({status}): {_reason()}{hint}")

    def _rows(self, rows: int) -> Any:
        if rows == 0:
            return None
        logits = self._lib.llama_get_logits(self._context)
        return self._numpy.ctypeslib.as_array(logits, shape=(rows, self.model.n_vocab))


def _check_room(model: Model, layout: Layout) -> None:
    """Raise FailedError for a cache that cannot be had: llama.cpp would abort the process."""
    tokens = layout.slots * layout.context
    needed = tokens * model.cache_bytes_per_token
    if tokens >= 1 << 31 or (not model.on_gpu and needed > _memory_bytes()):
        raise FailedError(
            f"no memory for {layout.slots} sequences of {layout.context} tokens "
            f"({needed / 2**30:.1f} GiB of key-value cache); lower --slots or --context"
        )


def choose_layout(
    model: Model,
    *,
    slots: int | None,
    context: int | None,
    batch: int | None,
    threads: int | None,
    max_tokens: int,
) -> Layout:
    """Sizes from the model and the options, never from the work left (it is not known).

    The context is the model's own, at most 4,096 and at least twice the tokens to draw; the slots
    are 32, fewer when their cache would take more than a quarter of the machine's memory.
    Raises UsageError when an option cannot be met.
    """
    trained = model.trained_context or 4096
    if context is None:
        context = min(trained, max(4096, 2 * max_tokens))
    if context < 2:
        raise UsageError(f"--context {context}: expected at least 2 tokens")
    context = -(-context // CONTEXT_UNIT) * CONTEXT_UNIT
    if slots is None:
        room = _memory_bytes() // 4 // max(1, model.cache_bytes_per_token * context)
        slots = max(MIN_SEQUENCES, min(32, room))
    if not MIN_SEQUENCES <= slots <= MAX_SEQUENCES:
        raise UsageError(f"--slots {slots}: expected {MIN_SEQUENCES} to {MAX_SEQUENCES}")
    # 64 outputs bound the logits buffer (64 x 152k x 4 B = 39 MB) when every position is read
    outputs = max(64, slots)
    batch = max(2 * MIN_SEQUENCES, slots, batch if batch is not None else 512)
    return Layout(slots, context, batch, threads or available_cores(), min(outputs, batch))


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def model_name(path: str) -> str:
    """The file name that evidence carries (no directories: they are nobody's business)."""
    return Path(path).name
