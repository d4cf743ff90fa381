"""Checkpoints as Hugging Face has them, written byte by byte from the format's description, and
heads computed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

WIDTH = 64
MARKED = {"kind": "hidden-head", "prompt": "{problem} ", "marker": "<|step|>"}
PROFILES: dict[str, dict[str, Any]] = {
    "mlp": {**MARKED, "head": "mlp", "outputs": 2, "map": "softmax", "good": [1]},
    "linear": {**MARKED, "head": "linear", "outputs": 1, "map": "sigmoid"},
    "three": {**MARKED, "head": "linear", "outputs": 3, "map": "softmax", "good": [1, 2]},
    "gain": {**MARKED, "head": "gain", "outputs": 1, "map": "raw", "of": "value"},
    "ensemble": {**MARKED, "head": "ensemble", "map": "sigmoid"},
    "value": {
        "kind": "hidden-head", "prompt": "{problem} ", "at": "last", "ending": "<|end|>",
        "head": "linear", "outputs": 1, "map": "tanh", "of": "value",
    },
}  # fmt: skip
OUTPUTS = {name: int(profile.get("outputs", 0)) for name, profile in PROFILES.items()} | {
    "ensemble": 1
}
"""Of the head, or each head of the ensemble."""


def bfloat16(array: np.ndarray) -> np.ndarray:
    """The nearest numbers that 16 bits with 8 of exponent hold (ties to even), as float32."""
    bits = array.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32)


def write_checkpoint(path: Path, tensors: dict[str, np.ndarray], kind: str = "BF16") -> Path:
    """A safetensors file; BF16 takes the arrays as already rounded."""
    header, body = {}, b""
    for name, array in tensors.items():
        if kind == "BF16":
            raw = (array.astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
        else:
            raw = array.astype({"F32": "<f4", "F16": "<f2"}[kind]).tobytes()
        spot = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": spot}
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def head_tensors(kind: str, width: int, outputs: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random tensors of a head, by names as published checkpoints have them, in bfloat16."""
    chance = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return bfloat16(chance.normal(0, 1 / np.sqrt(shape[-1]), shape))

    if kind == "mlp":
        return {
            "score.0.weight": normal(width, width),
            "score.0.bias": normal(width),
            "score.2.weight": normal(outputs, width),
            "score.2.bias": normal(outputs),
        }
    if kind == "gain":
        return {"value_head.weight": normal(outputs, width), "value_head.gain": normal(1)} | {
            "value_head.bias": normal(1)
        }
    if kind == "ensemble":
        return {
            f"score.{n}.{layer}.{what}": normal(*shape)
            for n in range(3)
            for layer, rows, columns in ((0, 8, width), (2, outputs, 8))
            for what, shape in (("weight", (rows, columns)), ("bias", (rows,)))
        }
    return {"v_head.summary.weight": normal(outputs, width), "v_head.summary.bias": normal(outputs)}


def head_by_hand(kind: str, tensors: dict[str, np.ndarray], states: np.ndarray) -> np.ndarray:
    """[rows, outputs] in 64 bits."""
    t = {name: array.astype(np.float64) for name, array in tensors.items()}
    if kind == "mlp":
        inner = np.maximum(states @ t["score.0.weight"].T + t["score.0.bias"], 0)
        return inner @ t["score.2.weight"].T + t["score.2.bias"]
    if kind == "gain":
        return states @ t["value_head.weight"].T * t["value_head.gain"] + t["value_head.bias"]
    if kind == "ensemble":
        each = []
        for n in range(3):
            inner = states @ t[f"score.{n}.0.weight"].T + t[f"score.{n}.0.bias"]
            out = np.maximum(inner, 0) @ t[f"score.{n}.2.weight"].T + t[f"score.{n}.2.bias"]
            each.append(out)
        return np.concatenate(each, axis=1)
    return states @ t["v_head.summary.weight"].T + t["v_head.summary.bias"]
