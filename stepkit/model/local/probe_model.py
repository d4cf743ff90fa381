"""A tiny model in every quantisation that llama.cpp repacks, to try a build of it on.

A Llama of one layer a quantisation, of random weights: the blocks are made of their fields, as
ggml's ggml-common.h lays them out, with scales that keep the numbers near one. It has no
vocabulary, tokens are numbers. The file is GGUF version 3.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

TOKENS = 256
WIDTH, HIDDEN, HEADS = 256, 512, 4
"""Rows have a multiple of 256 numbers, the block of the K quantisations."""

_F32 = 0
_ALIGNMENT = 32
_SCALE = 0.004

_BLOCKS: dict[str, tuple[int, int, str]] = {
    "Q4_0": (2, 32, "d16"),
    "Q4_1": (3, 32, "dm16"),
    "Q8_0": (8, 32, "d32"),
    "Q4_K": (12, 256, "dm140"),
    "Q5_K": (13, 256, "dm172"),
    "Q6_K": (14, 256, "208d"),
    "IQ4_XS": (23, 256, "d134"),
}
"""Quantisation -> ggml's number of the type, weights a block, fields: d and m are 16-bit scales, a
number is so many random bytes."""


def model_bytes(seed: int = 0) -> bytes:
    """The file."""
    import numpy as np

    random = np.random.default_rng(seed)
    tensors: list[tuple[str, tuple[int, ...], int, bytes]] = []

    def plain(name: str, *shape: int) -> None:
        size = int(np.prod(shape))
        ones = len(shape) == 1
        numbers = np.ones(size) if ones else random.normal(0, 0.5, size)
        tensors.append((name, shape, _F32, numbers.astype("<f4").tobytes()))

    def quantised(name: str, kind: str, columns: int, rows: int) -> None:
        number, per_block, fields = _BLOCKS[kind]
        blocks = columns * rows // per_block
        tensors.append((name, (columns, rows), number, _blocks(random, fields, blocks)))

    plain("token_embd.weight", WIDTH, TOKENS)
    for layer, kind in enumerate(_BLOCKS):
        plain(f"blk.{layer}.attn_norm.weight", WIDTH)
        for matrix in ("attn_q", "attn_k", "attn_v", "attn_output"):
            quantised(f"blk.{layer}.{matrix}.weight", kind, WIDTH, WIDTH)
        plain(f"blk.{layer}.ffn_norm.weight", WIDTH)
        quantised(f"blk.{layer}.ffn_gate.weight", kind, WIDTH, HIDDEN)
        quantised(f"blk.{layer}.ffn_up.weight", kind, WIDTH, HIDDEN)
        quantised(f"blk.{layer}.ffn_down.weight", kind, HIDDEN, WIDTH)
    plain("output_norm.weight", WIDTH)
    quantised("output.weight", "Q6_K", WIDTH, TOKENS)
    return _file(_metadata(), tensors)


def _blocks(random: np.random.Generator, fields: str, count: int) -> bytes:
    """Blocks of random numbers with constant scales."""
    import numpy as np

    size = int("".join(letter for letter in fields if letter.isdigit()))
    scales = np.full((count, 1), _SCALE, "<f2").view(np.uint8)
    body = random.integers(0, 256, (count, size), dtype=np.uint8)
    if fields.endswith("d"):
        parts = [body, scales]
    else:
        parts = [scales] * fields.count("d") + [scales] * fields.count("m") + [body]
    return np.concatenate(parts, axis=1).tobytes()


def _metadata() -> dict[str, Any]:
    layers = len(_BLOCKS)
    return {
        "general.architecture": "llama",
        "llama.block_count": layers,
        "llama.context_length": 512,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": HIDDEN,
        "llama.attention.head_count": HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": TOKENS,
        "tokenizer.ggml.model": "no_vocab",
    }


def _file(
    metadata: dict[str, Any], tensors: Sequence[tuple[str, tuple[int, ...], int, bytes]]
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += _text(key)
        if isinstance(value, str):
            head += struct.pack("<I", 8) + _text(value)
        elif isinstance(value, int):
            head += struct.pack("<II", 4, value)
        else:
            head += struct.pack("<If", 6, value)
    body = b""
    for name, shape, number, data in tensors:
        head += _text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        head += struct.pack("<IQ", number, len(body))
        body += data + bytes(-len(data) % _ALIGNMENT)
    return head + bytes(-len(head) % _ALIGNMENT) + body


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()
