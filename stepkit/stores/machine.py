"""What a store is shown of a machine: its files, its environment, the user's home."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

DEEPEST = 4
"""Folders below a store's folder of a model that are looked into."""


class FileView(Protocol):
    """Files to be looked at, those of the system or made up."""

    def names(self, folder: str) -> list[str]:
        """The names in a folder, sorted; [] where there is none. Raises OSError where it cannot
        be read."""

    def is_file(self, path: str) -> bool:
        """Whether there is a file, followed through links."""

    def size(self, path: str) -> int:
        """Bytes of a file."""

    def start(self, path: str, size: int) -> bytes:
        """The first ``size`` bytes of a file. Raises OSError."""


class SystemFiles:
    """The files of this machine."""

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def is_file(self, path: str) -> bool:
        return os.path.isfile(path)

    def size(self, path: str) -> int:
        return os.path.getsize(path)

    def start(self, path: str, size: int) -> bytes:
        with open(path, "rb") as file:
            return file.read(size)


@dataclass(frozen=True)
class Machine:
    """What decides where the models are.

    Attributes:
        files: what is looked at.
        environment: the variables that name folders.
        home: the user's folder.
        platform: as sys.platform; caches are elsewhere on macOS.
    """

    files: FileView
    environment: Mapping[str, str]
    home: str
    platform: str = "linux"

    def folder_of(self, variable: str) -> str | None:
        """The folder that a variable names, or None."""
        folder = self.environment.get(variable, "")
        if folder.startswith("~/"):
            folder = os.path.join(self.home, folder[2:])
        return folder.rstrip("/") or None

    def cache(self, name: str) -> str:
        """Where a program called ``name`` keeps what it can fetch again."""
        shared = self.folder_of("XDG_CACHE_HOME")
        if shared is None and self.platform == "darwin":
            return os.path.join(self.home, "Library", "Caches", name)
        return os.path.join(shared or os.path.join(self.home, ".cache"), name)

    def below(self, folder: str, deepest: int = DEEPEST) -> Iterator[str]:
        """The paths of all files in a folder, relative to it."""
        for name in self.files.names(folder):
            path = os.path.join(folder, name)
            if self.files.is_file(path):
                yield name
            elif deepest:
                for below in self.below(path, deepest - 1):
                    yield f"{name}/{below}"


def this_machine() -> Machine:
    """The machine that this runs on."""
    return Machine(SystemFiles(), os.environ, os.path.expanduser("~"), sys.platform)
