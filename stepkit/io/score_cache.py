"""Scores that outlive a run: a folder with a small file for each result of a model.

An engine that remembers (model/recorded_engine.py) writes to it as to the journal. The journal is
one run's, locked, and ends with it; the folder is everybody's: a name is made of all that decides
the result, a file appears whole or not at all (it is renamed into place), and two who write the
same name write the same. So there is no lock, and after a crash nothing to repair. One file that
all append to would need both, and an index of it at every start.

A file is one line as in the journal, with a checksum that also covers what else the result depends
on (checked_lines.py). A file without a good one, as older versions wrote them, or under a name that
is not its own, is named, never used, and written again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from stepkit.errors import FailedError, reason
from stepkit.io.checked_lines import DamageReport, seal, unseal
from stepkit.io.jsonl import encode
from stepkit.schema import Json
from stepkit.seeds import digest

VERSION = 1


class ScoreCache:
    """Results by key.

    Args:
        folder: where they are; it is made.
        deciding: what a result depends on in addition to its key.
        warn: takes a line about damage.

    Raises FailedError when the folder cannot be made.

    Attributes:
        found: how many results were known.
    """

    def __init__(
        self, folder: str, deciding: Json, warn: Callable[[str], None] = lambda line: None
    ) -> None:
        self._folder = folder
        self._deciding = encode([VERSION, deciding])
        self._owner = digest(self._deciding, size=16)
        self._damage = DamageReport(warn)
        self.found = 0
        try:
            os.makedirs(folder, exist_ok=True)
        except FileExistsError:
            raise FailedError(f"--cache {folder}: is not a folder") from None
        except OSError as error:
            raise FailedError(f"--cache {folder}: {reason(error)}") from None

    def get(self, key: str) -> Any | None:
        """The value put under ``key``, or None; a damaged file is named, and counts as none."""
        try:
            with open(self._path(key), "rb") as file:
                line = file.read()
        except OSError:
            return None
        row = unseal(line, self._owner)
        if row is None or row.get("k") != key or "v" not in row:
            self.refuse(key)
            return None
        self.found += 1
        return row["v"]

    def refuse(self, key: str) -> None:
        """The value of ``key`` is none that was put there: name its file."""
        self._damage.add(self._path(key))

    def report(self) -> None:
        """Say how many files were refused, if not all were named."""
        self._damage.finish()

    def put(self, key: str, value: Any) -> None:
        """Remember ``value``. Raises FailedError when the disk is full."""
        path = self._path(key)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor, part = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".part")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(seal({"k": key, "v": value}, self._owner))
                os.replace(part, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(part)
                raise
        except OSError as error:
            raise FailedError(f"--cache {self._folder}: {reason(error)}") from None

    def _path(self, key: str) -> str:
        name = digest(self._deciding, key, size=16)
        return os.path.join(self._folder, name[:2], f"{name[2:]}.json")
