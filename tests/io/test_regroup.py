"""The sort on disk: stable, by first appearance, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.errors import DataError
from stepkit.io.jsonl import encode
from stepkit.io.lines import LineBlock
from stepkit.io.records import BadLine, items
from stepkit.io.regroup import regrouped


def regrouped_lines(rows: list[bytes], memory: int, files: int = 2) -> list[tuple[str, int, bytes]]:
    reads = [LineBlock(f"f{n % files}", n + 1, [row]) for n, row in enumerate(rows)]
    found = [item for block in regrouped(items(reads), memory) for item in block]
    assert [item.index for item in found if isinstance(item, BadLine)] == [
        n for n, row in enumerate(rows) if row == b"bad"
    ]
    return [(item.source, item.number, item.raw) for item in found if not isinstance(item, BadLine)]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300)), max_size=40),
    st.sampled_from([1, 600, 5000, 1 << 26]),
)
def test_equal_to_a_stable_sort(rows: list[tuple[int, int]], memory: int) -> None:
    lines = [
        b"bad" if size == 7 else encode({"group": str(group), "x": "y" * size})
        for group, size in rows
    ]
    first: dict[int, int] = {}
    for index, (group, size) in enumerate(rows):
        if size != 7:
            first.setdefault(group, index)
    order = sorted(
        (index for index, (_, size) in enumerate(rows) if size != 7),
        key=lambda index: first[rows[index][0]],
    )
    expected = [(f"f{index % 2}", index + 1, lines[index]) for index in order]
    assert regrouped_lines(lines, memory) == expected


def test_long_lines_are_merged_whole() -> None:
    lines = [encode({"group": str(n % 3), "x": "y" * 200_000, "n": n}) for n in range(9)]
    found = [raw for _, _, raw in regrouped_lines(lines, 300_000)]
    assert found == [lines[n] for n in (0, 3, 6, 1, 4, 7, 2, 5, 8)]


def test_a_full_temporary_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    def full(**settings: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(Exception, match="no space left on device") as caught:
        regrouped_lines([encode({"group": "a"})] * 3, 1)
    assert not isinstance(caught.value, DataError)
