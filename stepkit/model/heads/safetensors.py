"""Tensors in safetensors files: read by name, also from a checkpoint in parts; written whole.

The package of that name is not used: with NumPy it does not read bfloat16, the format of most
checkpoints, and the file format is just a length, a JSON header and bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepkit.errors import UsageError, reason

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_MOST_HEADER = 100 << 20  # as in the reference implementation


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor lies.

    Attributes:
        kind: its number type in the file's own letters.
        start, end: bytes from the start of the file.
    """

    file: Path
    kind: str
    shape: tuple[int, ...]
    start: int
    end: int

    def read(self) -> Any:
        """[shape] float32. Raises UsageError for a number type that weights do not have."""
        import numpy

        if self.kind not in SIZES:
            raise UsageError(f"{self.file}: a tensor of {self.kind}; expected F32, F16 or BF16")
        count = math.prod(self.shape)
        if self.kind == "BF16":
            halves = numpy.fromfile(self.file, "<u2", count, offset=self.start)
            numbers = (halves.astype("<u4") << 16).view("<f4")
        else:
            letter = f"<f{SIZES[self.kind]}"
            numbers = numpy.fromfile(self.file, letter, count, offset=self.start)
        return numbers.astype(numpy.float32).reshape(self.shape)


@dataclass(frozen=True)
class TensorFile:
    """A file's tensors by name, and its metadata (texts by name)."""

    by_name: Mapping[str, TensorPlace]
    metadata: Mapping[str, str]


def open_tensors(path: str | Path) -> TensorFile:
    """The tensors of a safetensors file, of which only the header is read. Raises UsageError."""
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > min(size - 8, _MOST_HEADER):
                raise UsageError(f"{file}: not a safetensors file, or cut off")
            header = json.loads(stream.read(length))
    except OSError as error:
        raise UsageError(f"{file}: {reason(error)}") from None
    except ValueError:
        raise UsageError(f"{file}: not a safetensors file: its header is no JSON") from None
    return _checked(file, header, 8 + length, size)


def _checked(file: Path, header: Any, base: int, size: int) -> TensorFile:
    wrong = UsageError(f"{file}: not a safetensors file: its header is damaged")
    if not isinstance(header, dict):
        raise wrong
    metadata = header.pop("__metadata__", {})
    found = {}
    for name, row in header.items():
        try:
            (first, last), shape = row["data_offsets"], tuple(row["shape"])
            kind, start, end = row["dtype"], base + first, base + last
            expected = math.prod(shape) * SIZES.get(kind, 0)
        except (KeyError, TypeError, ValueError):
            raise wrong from None
        if not base <= start <= end <= size or (kind in SIZES and end - start != expected):
            raise UsageError(f'{file}: the tensor "{name}" is not all there; fetch the file again')
        found[name] = TensorPlace(file, kind, shape, start, end)
    texts = metadata if isinstance(metadata, dict) else {}
    return TensorFile(found, {str(key): str(value) for key, value in texts.items()})


def open_checkpoint(path: str) -> dict[str, TensorPlace]:
    """Tensors by name of a safetensors file, a file of an index, or a folder with either.

    Raises UsageError.
    """
    file = Path(path)
    if file.is_dir():
        file = next((file / name for name in (INDEX, WHOLE) if (file / name).exists()), file)
    if file.is_dir():
        raise UsageError(
            f"{path}: holds neither {WHOLE} nor {INDEX}; a checkpoint in PyTorch's own format "
            "(.bin, .pt) runs code when it is read: save it as safetensors first"
        )
    if file.suffix != ".json":
        return dict(open_tensors(file).by_name)
    try:
        placed = json.loads(file.read_bytes())["weight_map"].items()
    except OSError as error:
        raise UsageError(f"{file}: {reason(error)}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{file}: not an index of safetensors files") from None
    return dict(_in_parts(file.parent, sorted(placed)))


def _in_parts(folder: Path, placed: list[tuple[str, str]]) -> Iterator[tuple[str, TensorPlace]]:
    parts: dict[str, TensorFile | None] = {}
    for name, part in placed:
        if part not in parts:
            # parts without a head need not be there
            parts[part] = open_tensors(folder / part) if (folder / part).exists() else None
        tensors = parts[part]
        if tensors is None:
            continue
        if name not in tensors.by_name:
            raise UsageError(f'{folder / part}: has no tensor "{name}", which the index puts there')
        yield name, tensors.by_name[name]


def encode_tensors(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file of float32 arrays."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    chunks, end = [], 0
    for name, array in tensors.items():
        raw = array.astype("<f4").tobytes()
        spot = [end, end + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": spot}
        chunks.append(raw)
        end += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *chunks])
