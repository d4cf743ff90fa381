"""The child process in which a build of llama.cpp is tried (buffer_verdict.py starts it).

It decodes texts of several lengths with plain weights and with those that llama.cpp has repacked
for the processor, AMX among them, and compares the logits. A miscompiled path crashes the child,
gives numbers that are none, or other ones; repacking by itself only rounds in another way.
"""

from __future__ import annotations

import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

LENGTHS = (1, 3, 8, 32, 64)
"""Rows of a call: one, fewer than are multiplied together, and many."""

LEAST_ALIKE = 0.99
"""Cosine between the logits. Repacking AVX2's way gives 0.9999; other weights give about 0."""


def main() -> None:
    """Write the verdict, "safe" or what is wrong, to standard output."""
    from stepkit.model.local.probe_model import model_bytes

    with tempfile.TemporaryDirectory(prefix="stepkit-probe-") as folder:
        path = os.path.join(folder, "probe.gguf")
        with open(path, "wb") as file:
            file.write(model_bytes())
        plain, repacked = logits(path, False), logits(path, True)
    sys.stdout.write(compared(plain, repacked))


def compared(plain: np.ndarray, repacked: np.ndarray) -> str:
    """The verdict on logits of the same texts, a row each."""
    import numpy as np

    if not np.isfinite(repacked).all():
        return "gives numbers that are none"
    sizes = np.linalg.norm(plain, axis=1) * np.linalg.norm(repacked, axis=1)
    alike = (plain * repacked).sum(axis=1) / np.maximum(sizes, 1e-30)
    if alike.min() < LEAST_ALIKE:
        return f"gives other logits (cosine {alike.min():.2f})"
    return "safe"


def logits(path: str, repack: bool) -> np.ndarray:
    """The logits after the last token of each text, float64[texts, tokens]."""
    import ctypes

    import numpy as np

    from stepkit.model.local.llama import library
    from stepkit.model.local.probe_model import TOKENS

    lib: Any = library()
    settings = lib.llama_model_default_params()
    settings.use_extra_bufts, settings.n_gpu_layers = repack, 0
    model = lib.llama_model_load_from_file(os.fsencode(path), settings)
    how = lib.llama_context_default_params()
    how.n_ctx, how.n_batch, how.n_ubatch = 128, max(LENGTHS), max(LENGTHS)
    how.n_threads = how.n_threads_batch = 1
    context = lib.llama_init_from_model(model, how)
    rows = []
    for length in LENGTHS:
        lib.llama_memory_clear(lib.llama_get_memory(context), True)
        tokens = (ctypes.c_int32 * length)(*(7 * place % TOKENS for place in range(length)))
        if lib.llama_decode(context, lib.llama_batch_get_one(tokens, length)):
            raise RuntimeError("llama_decode failed")
        found = lib.llama_get_logits_ith(context, -1)
        rows.append(np.ctypeslib.as_array(found, (TOKENS,)).astype(np.float64))
    return np.stack(rows)


if __name__ == "__main__":
    main()
