"""The cache never lies: a file that is not as it was written is named, and its score made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stepkit.io.score_cache import ScoreCache

VALUE = {"values": [[0.125, -3.5], [1e-09, 7.0]]}


class Folder:
    """A cache in ``path`` with results under a and b; what it warns of is ``said``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[str] = []
        cache = self.opened()
        cache.put("a", VALUE)
        cache.put("b", {"values": []})
        (self.file,) = (f for f in path.rglob("*.json") if json.loads(f.read_bytes())["k"] == "a")
        (self.other,) = (f for f in path.rglob("*.json") if f != self.file)

    def opened(self, **deciding: object) -> ScoreCache:
        return ScoreCache(str(self.path), deciding or {"model": "m"}, self.said.append)

    def is_refused(self) -> bool:
        """Whether a is no result, and named."""
        self.said.clear()
        value = self.opened().get("a")
        message = f"{self.file}: is damaged, or of an older stepkit; made again"
        return value is None and self.said == [message]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "c")
    assert made.opened().get("a") == VALUE and not made.said
    return made


def test_no_flipped_bit_of_a_cached_score_is_used(folder: Folder) -> None:
    whole = folder.file.read_bytes()
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        folder.file.write_bytes(changed)
        assert folder.is_refused(), bit
    for size in range(len(whole)):
        folder.file.write_bytes(whole[:size])
        assert folder.is_refused(), size


def test_a_cached_score_under_another_name_is_not_used(folder: Folder) -> None:
    shutil.copy(folder.other, folder.file)
    assert folder.is_refused()


def test_a_cached_score_of_another_model_is_not_used(folder: Folder, tmp_path: Path) -> None:
    other = ScoreCache(str(tmp_path / "d"), {"model": "another"})
    other.put("a", {"values": [[9.0]]})
    (file,) = (tmp_path / "d").rglob("*.json")
    shutil.copy(file, folder.file)
    assert folder.is_refused()


def test_a_cached_score_without_a_checksum_is_made_again(folder: Folder) -> None:
    """As older versions wrote it."""
    folder.file.write_text(json.dumps({"k": "a", "v": VALUE}, separators=(",", ":")) + "\n")
    assert folder.is_refused()
    folder.opened().put("a", VALUE)
    assert not folder.is_refused() and folder.opened().get("a") == VALUE


def test_many_damaged_files_are_counted(folder: Folder) -> None:
    cache = folder.opened()
    for number in range(12):
        cache.put(str(number), VALUE)
    for file in folder.path.rglob("*.json"):
        file.write_bytes(b"{}\n")
    assert [cache.get(str(number)) for number in range(12)] == [None] * 12
    cache.report()
    assert len(folder.said) == 11
    assert folder.said[-1] == "12 stored results were damaged and made again"
