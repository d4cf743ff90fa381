"""A GGUF Llama computed from its tensors in NumPy, in 64 bits: what llama.cpp must agree with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np


def tensors_of(path: Path) -> dict[str, np.ndarray]:
    """The tensors of an F32 or F16 GGUF by name, in 64 bits."""
    reader = gguf.GGUFReader(str(path))
    return {t.name: np.asarray(t.data, np.float64).reshape(t.shape[::-1]) for t in reader.tensors}


def forward(path: Path, ids: Sequence[int]) -> np.ndarray:
    """[tokens, n_vocab] logits of a GGUF Llama, computed from its tensors in NumPy (float64)."""
    tensors = tensors_of(path)
    output = tensors.get("output.weight", tensors["token_embd.weight"])
    return hidden_states(path, ids) @ output.T


def hidden_states(path: Path, ids: Sequence[int]) -> np.ndarray:
    """[tokens, width] what the output matrix is multiplied with.

    Attention goes through 16-bit numbers, as llama.cpp's key-value cache has it; not so where all
    weights are 32-bit.
    """
    reader = gguf.GGUFReader(str(path))
    wide = all(tensor.tensor_type.name == "F32" for tensor in reader.tensors)
    tensors = tensors_of(path)

    def value(name: str) -> float:
        return float(reader.fields[f"llama.{name}"].parts[-1][0])

    heads, kv_heads = int(value("attention.head_count")), int(value("attention.head_count_kv"))
    epsilon = value("attention.layer_norm_rms_epsilon")
    base = value("rope.freq_base") if "llama.rope.freq_base" in reader.fields else 10000.0

    def half(x: np.ndarray) -> np.ndarray:
        return x if wide else x.astype(np.float16).astype(np.float64)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * tensors[name + ".weight"]

    def rotated(x: np.ndarray) -> np.ndarray:
        # llama.cpp rotates neighbouring pairs (2i, 2i + 1) of each head
        size = x.shape[-1]
        angle = np.arange(len(ids))[:, None] * base ** (-np.arange(0, size, 2) / size)
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        even, odd = x[..., ::2], x[..., 1::2]
        return np.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)

    x = tensors["token_embd.weight"][list(ids)]
    for layer in range(int(value("block_count"))):
        block = f"blk.{layer}."
        normed = norm(x, block + "attn_norm")

        def project(name: str, count: int, source: np.ndarray, block: str = block) -> np.ndarray:
            return (source @ tensors[block + name + ".weight"].T).reshape(len(ids), count, -1)

        q = rotated(project("attn_q", heads, normed))
        k = rotated(project("attn_k", kv_heads, normed)).repeat(heads // kv_heads, axis=1)
        v = project("attn_v", kv_heads, normed).repeat(heads // kv_heads, axis=1)
        q, k, v = half(q), half(k), half(v)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1])
        scores[:, np.triu_indices(len(ids), 1)[0], np.triu_indices(len(ids), 1)[1]] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", half(weights), v).reshape(len(ids), -1)
        x = x + mixed @ tensors[block + "attn_output.weight"].T
        normed = norm(x, block + "ffn_norm")
        gate = normed @ tensors[block + "ffn_gate.weight"].T
        up = normed @ tensors[block + "ffn_up.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ tensors[block + "ffn_down.weight"].T
    return norm(x, "output_norm")
