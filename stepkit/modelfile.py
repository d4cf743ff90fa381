"""GGUF files as files: whether one is there, its parts, fingerprint and name. Nothing is loaded.

The command line checks before anything is read, and the engine before llama.cpp opens the file.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from pathlib import Path

from stepkit.errors import UsageError, reason

MAGIC = b"GGUF"
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


def parts(path: str) -> list[str]:
    """The files of a model that is named by its first part, as llama.cpp's gguf-split names them
    (``x-00001-of-00003.gguf``); of any other file, itself."""
    found = _PART.search(path)
    if found is None:
        return [path]
    stem, end = path[: found.start()], path[-5:]
    return [f"{stem}-{part:05}-of-{found[2]}{end}" for part in range(1, int(found[2]) + 1)]


def is_later_part(path: str) -> bool:
    """Whether this is a part of a model, and not the first, by which it is named."""
    found = _PART.search(path)
    return found is not None and int(found[1]) != 1


def check_file(path: str, option: str) -> None:
    """Raise UsageError, naming ``option``, unless ``path`` is a file that starts like a GGUF, and
    with it all parts of a model that has several."""
    if is_later_part(path):
        raise UsageError(
            f"{option} {path}: a later part of a model; name the first one, {parts(path)[0]}"
        )
    for one in parts(path):
        _check_one(one, option)


def _check_one(path: str, option: str) -> None:
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
    """Identity of a model file: its size, first and last MiB and 64 pages spread between; of a
    model in several parts, of all of these.

    A whole hash of a model of many gigabytes would take longer than many runs.
    """
    found = [_fingerprint(part) for part in parts(path)]
    if len(found) == 1:
        return found[0]
    return blake2b(" ".join(found).encode(), digest_size=8).hexdigest()


def _fingerprint(path: str) -> str:
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
    """The file name that evidence carries (no directories: they are nobody's business), without
    the number of a part."""
    name = Path(path).name
    return _PART.sub(lambda found: found[0][-5:], name)
