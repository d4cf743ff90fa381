"""GGUF files as files: whether one is there, its fingerprint and its name. Nothing is loaded.

The command line checks before anything is read, and the engine before llama.cpp opens the file.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

from stepkit.errors import UsageError, reason

MAGIC = b"GGUF"


def check_file(path: str, option: str) -> None:
    """Raise UsageError, naming ``option``, unless ``path`` is a file that starts like a GGUF."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise UsageError(f"{option} {path}: {reason(error)}") from None
    if head.startswith(MAGIC):
        return
    hint = ""
    if head.startswith(b"version http"):
        hint = " (a Git LFS pointer: run git lfs pull)"
    elif head.startswith(b"PK") or head[8:10] == b'{"':
        hint = " (a checkpoint: convert it with llama.cpp's convert_hf_to_gguf.py)"
    raise UsageError(f"{option} {path}: not a GGUF file{hint}")


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


HEAD = 64 << 20
"""The metadata and the names of the tensors lie within so many bytes: those of 262k words take
9 MB."""


def holds_tensor(path: str, name: str) -> bool:
    """Whether a GGUF file names a tensor ``name``, one before the layers."""
    with open(path, "rb") as file:
        return name.encode() in file.read(HEAD)


def model_name(path: str) -> str:
    """The file name that evidence carries (no directories: they are nobody's business)."""
    return Path(path).name
