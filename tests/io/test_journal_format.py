"""The journal never lies: whatever happens to its bytes, it gives what was put, or less, said.

The journal is one that the installed command wrote; every bit of it is flipped.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from work import ROOT, Workdir

from stepkit.errors import UsageError
from stepkit.io.checked_lines import seal
from stepkit.io.journal_format import (
    JournalContents,
    damage,
    header,
    row,
    scan,
    value_of,
)
from stepkit.io.jsonl import encode

POLICY = ROOT / "samples" / "models" / "policy.gguf"
ARGS = ("in", "-m", str(POLICY), "-t", "1", "--method", "sample", "-k", "2", "--max-tokens", "24")
PROBLEMS = (
    b'{"id":"p1","problem":"2+3?","answer":"5"}\n{"id":"p2","problem":"4*6?","answer":"24"}\n'
)


class Interrupted(NamedTuple):
    """A run of step-rollout that stopped at its last record, and what it would have written."""

    journal: bytes
    whole: bytes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    work = Workdir(tmp_path_factory.mktemp("journal"))
    work.write("in", PROBLEMS)
    done = work.run("step-rollout", *ARGS, "-o", "whole")
    assert done.status == 0, done.err
    work.write("in", PROBLEMS + b"{bad\n")
    assert work.run("step-rollout", *ARGS, "-o", "out").status == 3
    return Interrupted(work.read("out.journal"), work.read("whole"))


def resumed(work: Workdir, run: Interrupted, journal: bytes) -> list[str]:
    """The messages of a resume from ``journal``, which ends as the undisturbed run did."""
    work.write("in", PROBLEMS)
    work.write("out.journal", journal)
    done = work.run("step-rollout", *ARGS, "-o", "out", "--resume")
    assert (done.status, work.read("out")) == (0, run.whole), done.err
    assert work.names() == ["in", "out"]
    return done.err.splitlines()


def found(journal: bytes) -> JournalContents:
    return scan(BytesIO(journal), "j")


def values(journal: bytes, contents: JournalContents | None = None) -> dict[str, Any]:
    """All that a run would be given."""
    contents = contents or found(journal)
    return {
        key: value_of(journal[place.start : place.start + place.size], key, contents.owner)
        for key, place in contents.places.items()
    }


def lines(journal: bytes) -> list[bytes]:
    return journal.splitlines(keepends=True)


def flipped(journal: bytes, bit: int) -> bytes:
    changed = bytearray(journal)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# -- damage ----------------------------------------------------------------------------------------


def test_a_journal_is_a_header_twice_and_a_line_for_each_draw(run: Interrupted) -> None:
    first, second, *rows = lines(run.journal)
    assert first == second and len(rows) == 4
    contents = found(run.journal)
    assert [place.number for place in contents.places.values()] == [3, 4, 5, 6]
    assert contents.end == len(run.journal) and contents.lines == 6
    assert not contents.damaged and not contents.torn and not contents.empty


def test_one_flipped_bit_never_gives_other_data(run: Interrupted) -> None:
    """Of 31,520 flips 9,524 did, without a word."""
    whole, deciding = values(run.journal), found(run.journal).deciding
    most, count = len(whole), 8 * len(run.journal)
    assert most == 4 and count > 10_000
    for bit in range(count):
        changed = flipped(run.journal, bit)
        contents = found(changed)
        assert contents.damaged and contents.deciding == deciding, bit  # it is named
        left = values(changed, contents)
        assert all(left[key] == whole[key] for key in left), bit
        # one bit costs one result, or two where it joins their lines
        assert len(left) >= most - 2, bit


def test_a_flipped_bit_is_named_by_its_line(run: Interrupted) -> None:
    end = 0
    for number, line in enumerate(lines(run.journal), 1):
        for byte in (end, end + len(line) // 2, end + len(line) - 3):
            assert found(flipped(run.journal, 8 * byte)).damaged == [number]
        end += len(line)


def test_the_command_makes_again_what_a_flipped_bit_took(work: Workdir, run: Interrupted) -> None:
    first, _, draw, *_ = lines(run.journal)
    text = run.journal.index(b'"text":"') + 9  # the first letter of the first draw
    last = len(run.journal) - 1
    for byte, line in (
        (len(first) // 2, 1),
        (len(first) - 1, 1),
        (len(first) + 3, 2),
        (text, 3),
        (2 * len(first) + len(draw) - 5, 3),
        (last, 6),
    ):
        said = resumed(work, run, flipped(run.journal, 8 * byte + 1))
        assert said[0] == (
            f"step-rollout: out.journal: line {line} is damaged or cut off; "
            "what is lost is made again"
        )
        kept = 4 if line < 3 else 3
        assert said[1:] == [f"step-rollout: resuming with {kept} results of out.journal"]


def test_bytes_lost_added_and_overwritten_never_give_other_data(run: Interrupted) -> None:
    whole, deciding = values(run.journal), found(run.journal).deciding
    chance, refused = random.Random(1), 0
    for _ in range(2000):
        at, size = chance.randrange(len(run.journal)), chance.choice([1, 2, 50, 600])
        fresh = chance.choice([b"", b"\0" * size, b"\n" * size, chance.randbytes(size)])
        cut = at + chance.choice([0, size, len(fresh)])
        changed = run.journal[:at] + fresh + run.journal[cut:]
        try:
            contents = found(changed)
        except UsageError:
            refused += 1  # both copies of the header were hit
        else:
            assert contents.deciding in (deciding, None)
            left = values(changed, contents)
            assert all(left[key] == whole[key] for key in left)
    assert 0 < refused < 400


def test_every_start_of_a_journal_holds_its_whole_lines(run: Interrupted) -> None:
    """As a kill leaves it, and first of all within the header, where nothing is lost."""
    whole = values(run.journal)
    copies = 2 * len(lines(run.journal)[0])
    for size in range(len(run.journal) + 1):
        start = run.journal[:size]
        left = values(start)
        assert all(left[key] == whole[key] for key in left)
        assert len(values(start)) == max(0, start.count(b"\n") - 2)
        assert found(start).empty == (size == copies or not values(start))


# -- the header ------------------------------------------------------------------------------------


def test_a_journal_with_both_headers_damaged_is_refused_and_kept(
    work: Workdir, run: Interrupted
) -> None:
    size = len(lines(run.journal)[0])
    for first, second in ((0, 0), (size // 2, size // 3), (size - 4, 20), (size - 1, size - 1)):
        journal = flipped(flipped(run.journal, 8 * first), 8 * (size + second))
        work.write("in", PROBLEMS)
        work.write("out.journal", journal)
        for more in (("--resume",), ()):
            done = work.run("step-rollout", *ARGS, "-o", "out", *more)
            assert (done.status, done.err) == (
                2,
                "step-rollout: out.journal: both copies of the header are damaged, so it is not "
                "known what its results belong to; left as it is: to start again, move it away\n",
            )
            assert work.names() == ["in", "out.journal"] and work.read("out.journal") == journal


def test_a_header_alone_that_is_damaged_loses_nothing() -> None:
    copies, _ = header({"seed": 1})
    for bit in range(8 * len(copies)):
        contents = found(flipped(copies, bit))
        assert contents.deciding == {"seed": 1} and not contents.places


def test_a_journal_without_checksums_is_refused_and_kept(work: Workdir, run: Interrupted) -> None:
    unchecked = re.sub(rb',"sum":"[0-9a-f]{16}"}\n', b"}\n", run.journal)
    first, _, *rows = lines(unchecked.replace(b'"stepkit-journal":2', b'"stepkit-journal":1'))
    work.write("in", PROBLEMS)
    work.write("out.journal", old := b"".join([first, *rows]))
    for more in (("--resume",), ()):
        done = work.run("step-rollout", *ARGS, "-o", "out", *more)
        assert (done.status, done.err) == (
            2,
            "step-rollout: out.journal: was written by another version of stepkit; left as it is: "
            "finish the run with that version, or remove the journal\n",
        )
        assert work.read("out.journal") == old


def test_a_journal_of_a_later_version_is_refused() -> None:
    later = seal({"stepkit-journal": 3, "deciding": {}}, "")
    with pytest.raises(UsageError, match="another version"):
        found(later + later)


@pytest.mark.parametrize(
    "text",
    [
        b'{"problem":"What is a stepkit-journal?"}\n',
        b'{"stepkit-journal":1,"problem":"How old?"}\n{"problem":"x"}\n',
        b'{"k":"a","v":1}\n{"k":"b","v":2}\n',
        b"\n\n\n",
        b'{"stepkit',
        b"\xff\xfe\x00",
    ],
)
def test_a_users_file_that_looks_alike_is_no_journal(text: bytes) -> None:
    if b'{"stepkit-journal":'.startswith(text):
        assert found(text).empty  # a kill may have left it
        return
    with pytest.raises(UsageError, match="is not a stepkit journal; left as it is"):
        found(text)


# -- lines that are whole, and wrong ---------------------------------------------------------------


def test_a_line_of_another_journal_is_damage(work: Workdir, run: Interrupted) -> None:
    """Its draws have the same keys where only what reads them differs, and other values."""
    contents = found(run.journal)
    other, owner = header({**(contents.deciding or {}), "max-tokens": 9999})
    key = next(iter(contents.places))
    line = row(key, {"text": "a lie"}, owner)
    assert values(other + line) == {key: {"text": "a lie"}}
    assert values(run.journal + line) == values(run.journal)
    said = resumed(work, run, run.journal + line)
    assert "out.journal: line 7 is damaged" in said[0]


def test_lines_twice_and_in_another_order_are_the_same_journal(
    work: Workdir, run: Interrupted
) -> None:
    first, second, *rows = lines(run.journal)
    for other in (rows[::-1], rows + rows, [rows[0], first, *rows[1:]], [*rows, rows[1]]):
        changed = b"".join([first, second, *other])
        assert values(changed) == values(run.journal) and not found(changed).damaged
    said = resumed(work, run, b"".join([first, second, *rows[::-1], *rows]))
    assert said == ["step-rollout: resuming with 4 results of out.journal"]


def test_a_value_under_the_key_of_another_is_damage(run: Interrupted) -> None:
    one, other = list(values(run.journal))[:2]
    changed = run.journal.replace(f'"k":"{one}"'.encode(), f'"k":"{other}"'.encode())
    whole, left = values(run.journal), values(changed)
    assert found(changed).damaged == [3]
    assert left == {key: whole[key] for key in whole if key != one}


@pytest.mark.parametrize(
    "wrong", [{"k": ["a"], "v": 1}, {"k": None, "v": 1}, {"k": {"a": 1}, "v": 1}, {"k": "a"}]
)
def test_a_row_without_a_key_or_value_is_a_bad_line(wrong: dict[str, Any]) -> None:
    copies, owner = header({})
    contents = found(copies + row("b", 1, owner) + seal(wrong, owner) + row("c", 1, owner))
    assert list(contents.places) == ["b", "c"] and contents.damaged == [4]


def wrong_values(value: dict[str, Any]) -> Iterator[object]:
    """What is no draw, each by one entry."""
    yield from (None, 1, "text", [], {}, {"values": 3}, {"values": [[1.0]]})
    for name in value:
        yield {key: entry for key, entry in value.items() if key != name}
    for name, entry in (
        ("text", None), ("text", 5), ("text", ["a"]), ("finish", None), ("finish", "broken"),
        ("finish", ["stop"]), ("tokens", "7"), ("tokens", -1), ("tokens", True), ("tokens", 1.5),
        ("ids", 5), ("ids", ["a"]), ("ids", [-1]), ("ids", {"0": 1}), ("logprob", "x"),
        ("logprob", []), ("logprob", False), ("logprobs", None), ("logprobs", [None]),
        ("logprobs", [[1.0]]), ("logprobs", "12"), ("listed", 7), ("listed", [["a"]]),
        ("listed", [["a", "b"]]), ("listed", [[1, 2.0]]), ("listed", {"a": 1.0}),
    ):  # fmt: skip
        yield {**value, name: entry}


def test_a_value_of_wrong_types_is_a_bad_line_and_no_internal_error(
    work: Workdir, run: Interrupted
) -> None:
    """With right checksums, as another version or a program may write them."""
    (key, value), *_ = values(run.journal).items()
    owner = found(run.journal).owner
    first, second, _, *rows = lines(run.journal)
    for wrong in (5, {**value, "logprobs": [None]}, {"values": [[1.0]]}):
        journal = b"".join([first, second, row(key, wrong, owner), *rows])
        assert resumed(work, run, journal) == [
            "step-rollout: resuming with 4 results of out.journal",
            "step-rollout: out.journal:3: is damaged, or of an older stepkit; made again",
        ]


def test_no_wrong_type_passes_for_a_result(run: Interrupted) -> None:
    from stepkit.model.recorded_engine import FinishedDraw, from_json

    value = next(iter(values(run.journal).values()))
    assert isinstance(from_json(value), FinishedDraw)
    for wrong in wrong_values(value):
        if wrong != {"values": [[1.0]]}:
            assert from_json(wrong) is None, wrong


def test_many_damaged_lines_are_counted() -> None:
    assert damage([7]) == "line 7 is damaged or cut off"
    assert damage([7, 9]) == "2 lines are damaged or cut off (7, 9)"
    assert damage(list(range(3, 16))) == (
        "13 lines are damaged or cut off (3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 3 more)"
    )


def test_values_that_json_may_hold_come_back(tmp_path: Path) -> None:
    copies, owner = header({"n": [1, None, {"a": "\u2028\n"}]})
    value: object
    for value in ("", 'a","sum":"0123456789abcdef"}\n', "é" * 1000, [[]], {"sum": 1}, 0, 2**63):
        line = row("k", value, owner)
        assert value_of(line, "k", owner) == value and encode(value) in line
        assert values(copies + line) == {"k": value}
