"""The memory that this process may still take: the lesser of the machine's and its control groups'.

The machine's is MemAvailable of /proc/meminfo: what is free or can be had back from the page cache.
A control group (a container, a batch job) has a limit of its own, which the machine's figures do
not show; those above it count, too. Linux's documentation: admin-guide/cgroup-v2.rst ("Memory") and
cgroup-v1/memory.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class _Files(NamedTuple):
    """The files of one version of control groups."""

    mount: str
    limit: str
    used: str
    cache: tuple[str, ...]  # in memory.stat: pages of files, which can be had back


_V2 = _Files("sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file", "active_file"))
_V1 = _Files(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)


def free_bytes(root: Path = Path("/")) -> int:
    """Bytes that may still be taken; half of the machine's memory where nothing tells.

    Args:
        root: where /proc and /sys lie.
    """
    free = _named(root / "proc/meminfo", ("MemAvailable:",))
    rooms = [] if free is None else [free * 1024]
    rooms += [room for files, group in _groups(root) for room in _room(root, files, group)]
    return max(0, min(rooms)) if rooms else _machine() // 2


def _machine() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _groups(root: Path) -> Iterator[tuple[_Files, PurePosixPath]]:
    """The control groups of this process that limit memory, by its own list."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if "memory" in controllers.split(","):
            yield _V1, PurePosixPath(path)
        elif number == "0" and not controllers:
            yield _V2, PurePosixPath(path)


def _room(root: Path, files: _Files, group: PurePosixPath) -> Iterator[int]:
    """What a group and those above it leave.

    In a container the path may be the host's, which is not seen there: its own is then the top.
    """
    for place in (group, *group.parents):
        folder = root / files.mount / str(place).lstrip("/")
        limit, used = _number(folder / files.limit), _number(folder / files.used)
        if limit is None or used is None:  # none is set ("max"), or no such group is seen
            continue
        yield limit - used + (_named(folder / "memory.stat", files.cache) or 0)


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _named(path: Path, names: tuple[str, ...]) -> int | None:
    """The sum of the numbers that follow ``names`` at the start of lines; None without any."""
    rows = [line.split() for line in _text(path).splitlines()]
    found = [int(row[1]) for row in rows if len(row) > 1 and row[0] in names]
    return sum(found) if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
