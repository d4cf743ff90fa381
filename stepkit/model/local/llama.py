"""llama.cpp, in process: the only module that imports llama_cpp, and the models that it loads.

With vocabulary.py and context.py it is a thin binding: load a model, tokenise, decode one batch,
read rows of logits. Every precondition whose violation would abort the process (llama.cpp asserts)
is checked before the call, and every return code becomes an error that says what to change.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

from stepkit.activity import activity
from stepkit.errors import FailedError, UsageError
from stepkit.model.local.buffer_verdict import BufferVerdict, verdict
from stepkit.model.local.vocabulary import GgufVocabulary
from stepkit.modelfile import fingerprint, holds_tensor
from stepkit.stores.locate import locate

REPACKED_SHARE = 4
"""Where one part in so many of the weights is repacked, or more, the file is not mapped: its pages
would be in memory in addition to the copy."""
REPACKING = ("CPU_REPACK", "AMX")
"""What llama.cpp calls buffers of weights in another layout."""
LONG_FACTORS = "rope_factors_long.weight"
_WEIGHTS = re.compile(r"load_tensors: +(\S+) model buffer size = +([0-9.]+) MiB")
_log: deque[str] = deque(maxlen=50)
_callbacks: list[Any] = []  # ctypes callbacks must outlive the library's use of them


def library() -> Any:
    """Import llama_cpp with its log going to our ring buffer instead of stderr."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # GNU's OpenMP spins for milliseconds where threads wait for each other; on a machine with
        # any other load, that is most of the time (the variable is read when it is loaded)
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


def clear_log() -> None:
    """Forget llama.cpp's log, before a call that may fail."""
    _log.clear()


def failure_reason() -> str:
    """The most informative line of llama.cpp's log about a failure."""
    lines = [line.strip() for line in "".join(_log).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "fail" in line.lower()]
    return (errors or lines or ["no reason given"])[0]


class Model(GgufVocabulary):
    """A loaded GGUF and its vocabulary.

    Args:
        path: its file, or its name in a store (stores/model_reference.py).

    Attributes:
        path: its file, of several parts the first.
        name: what evidence calls it.

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
        found = locate(path, option)
        self.path, self.name = found.path, found.name
        with activity(f"loading {self.name}"):
            lib = library()
        self.gpu_layers = gpu_layers
        parameters = lib.llama_model_default_params()
        parameters.n_gpu_layers = gpu_layers
        parameters.vocab_only = vocabulary_only
        _place(lib, parameters, gpu_layers, main_gpu, tensor_split)
        parameters.use_extra_bufts = buffers().repack
        with activity(f"loading {self.name}"):
            self._model, mapped = _load(lib, self.path, parameters)
        if not self._model:
            raise FailedError(f"{option} {path}: llama.cpp cannot load it: {failure_reason()}")
        super().__init__(lib, lib.llama_model_get_vocab(self._model))
        self.trained_context = int(lib.llama_model_n_ctx_train(self._model))
        self.fingerprint = fingerprint(self.path)
        size = int(lib.llama_model_size(self._model))
        self.mapped_bytes = size if mapped and not self.on_gpu else 0
        self.short_rope_context = self._short_rope_context()
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

    def _short_rope_context(self) -> int:
        """The length above which a context has other rope factors (LongRoPE); 0: there are none.

        llama.cpp chooses by the length of the context, once for all that is in it
        (``llama_model::get_rope_factors``).
        """
        architecture = self.metadata("general.architecture")
        length = self.metadata(f"{architecture}.rope.scaling.original_context_length")
        if not length or int(length) >= self.trained_context:
            return 0
        return int(length) if holds_tensor(self.path, LONG_FACTORS) else 0

    def close(self) -> None:
        if self._model:
            self._lib.llama_model_free(self._model)
            self._model = None

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
        """What else decides rounding: the library, whether weights are repacked, as the probe
        found (buffer_verdict.py), the layers on a GPU."""
        return {
            "llama-cpp-python": self._lib.__version__,
            "extra_buffers": buffers().repack,
            "gpu_layers": self.gpu_layers,
        }

    @property
    def weights_note(self) -> str:
        """Whether its weights are repacked, and why, in a line for -v."""
        return buffers().why

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
        """Whether all weights have 32 bits; then the cache has, too, which else would be the only
        place where digits are lost."""
        description = ctypes.create_string_buffer(256)
        self._lib.llama_model_desc(self._model, description, len(description))
        return b"all F32" in description.value

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes of key-value cache for one token of one sequence."""
        lib, model = self._lib, self._model
        heads = max(1, lib.llama_model_n_head(model))
        key_length = self.metadata(f"{self.metadata('general.architecture')}.attention.key_length")
        per_head = int(key_length) if key_length else lib.llama_model_n_embd(model) // heads
        numbers = 2 * lib.llama_model_n_layer(model) * lib.llama_model_n_head_kv(model) * per_head
        return int(numbers) * (4 if self.wide else 2)


def _load(lib: Any, path: str, parameters: Any) -> tuple[Any, bool]:
    """Load a model; returns it, or None, and whether the file is mapped.

    What is repacked is told before the first byte is read, so a load that maps the file is then
    given up in favour of one that does not.
    """

    @lib.llama_progress_callback
    def goes_on(_done: float, _data: Any) -> bool:
        return not _much_is_repacked()

    for mapped in (True, False):
        _map(lib, parameters, mapped)
        parameters.progress_callback = goes_on if mapped else lib.llama_progress_callback(0)
        clear_log()
        model = lib.llama_model_load_from_file(os.fsencode(path), parameters)
        if model or not _much_is_repacked():
            return model, mapped
    return None, False


def _map(lib: Any, parameters: Any, mapped: bool) -> None:
    """Set whether a file is mapped."""
    if hasattr(parameters, "use_mmap"):  # before load_mode came
        parameters.use_mmap = mapped
    elif not mapped:
        parameters.load_mode = lib.LLAMA_LOAD_MODE_NONE


def _much_is_repacked() -> bool:
    """Whether llama.cpp's log says that it lays so many weights out anew."""
    sizes = [(kind, float(size)) for kind, size in _WEIGHTS.findall("".join(_log))]
    repacked = sum(size for kind, size in sizes if kind in REPACKING)
    return repacked > 0 and REPACKED_SHARE * repacked >= sum(size for _, size in sizes)


def _place(
    lib: Any, parameters: Any, layers: int, main_gpu: int | None, split: tuple[float, ...]
) -> None:
    """Set on which GPUs the layers lie. Raises UsageError for what this llama.cpp cannot do."""
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


@cache
def buffers() -> BufferVerdict:
    """Whether weights are repacked for special instructions of the processor, and why."""
    lib = library()
    information = lib.llama_print_system_info().decode("utf-8", "replace")
    return verdict(information, Path(lib.__file__).parent / "lib")
