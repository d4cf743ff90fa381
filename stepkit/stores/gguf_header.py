"""The first metadata of a GGUF file: what it is and how it is quantised, without loading it.

The layout is that of GGUF's specification (ggml, docs/gguf.md), versions 2 and 3: the magic, the
version, the numbers of tensors and of keys, then keys and values, little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from stepkit.modelfile import MAGIC
from stepkit.stores.machine import FileView

ENOUGH = 1 << 16
"""Bytes that hold the keys before the vocabulary."""

_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9

_KINDS = {"adapter": "an adapter", "mmproj": "a projector", "imatrix": "an importance matrix"}
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4",
}  # fmt: skip
"""Names of llama.cpp's llama_ftype."""


@dataclass(frozen=True)
class GgufHeader:
    """What the first keys say.

    Attributes:
        kind: what it is where it is no model, as in "an adapter"; else "".
        quantisation: as in "Q4_K_M", or "" where it does not say.
    """

    kind: str = ""
    quantisation: str = ""


def read_header(files: FileView, path: str) -> GgufHeader | None:
    """The header of a file, None where it is no GGUF. Raises OSError."""
    data = files.start(path, ENOUGH)
    if not data.startswith(MAGIC) or len(data) < 24:
        return None
    found = _metadata(data)
    kind = _KINDS.get(str(found.get("general.type")), "")
    if not kind and found.get("general.architecture") == "clip":
        kind = "a projector"  # as they were before general.type
    quantisation = _FILE_TYPES.get(found.get("general.file_type", -1), "")
    return GgufHeader(kind, quantisation)


def _metadata(data: bytes) -> dict[str, Any]:
    """The keys before the vocabulary, as far as they are in ``data``."""
    found: dict[str, Any] = {}
    (count,) = struct.unpack_from("<Q", data, 16)
    reader = _Reader(data, 24)
    try:
        for _ in range(count):
            key = reader.text()
            if key.startswith("tokenizer."):
                break
            found[key] = reader.value(reader.number("<I"))
    except (struct.error, ValueError):  # cut off, or of a type that is not known here
        pass
    return found


class _Reader:
    """Reads values one after another."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._data, self._place)
        self._place += struct.calcsize(form)
        return value

    def text(self) -> str:
        length = self.number("<Q")
        start, self._place = self._place, self._place + length
        if self._place > len(self._data):
            raise ValueError("cut off")
        return self._data[start : self._place].decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            inner, length = self.number("<I"), self.number("<Q")
            if length > len(self._data):
                raise ValueError("cut off")
            return [self.value(inner) for _ in range(length)]
        if kind not in _SCALARS:
            raise ValueError("unknown type")
        return self.number(_SCALARS[kind])
