"""GGUF files as files: parts of a model, and their identity."""

from __future__ import annotations

from pathlib import Path

import pytest
from ggufs import write_llama
from work import Workdir

from stepkit.errors import UsageError
from stepkit.modelfile import check_file, fingerprint, is_later_part, model_name, parts

PROBLEM = '{"problem": "Ann has 12 jars and buys 30 more. How many are there?", "answer": "42"}\n'
DRAW = ("--method", "sample", "-k", "2", "--max-tokens", "8", "-t", "1", "--prompt", "{problem}")


def test_the_parts_of_a_model_are_named_by_their_numbers() -> None:
    assert parts("a/x.gguf") == ["a/x.gguf"]
    assert parts("a/x-00001-of-00002.gguf") == [
        "a/x-00001-of-00002.gguf",
        "a/x-00002-of-00002.gguf",
    ]
    assert not is_later_part("x.gguf") and not is_later_part("x-00001-of-00002.gguf")
    assert is_later_part("x-00002-of-00002.gguf")
    assert model_name("a/x-Q8_0-00001-of-00002.gguf") == "x-Q8_0.gguf"


def test_a_model_in_parts_draws_as_the_whole_does(work: Workdir) -> None:
    whole = write_llama(work.path / "m.gguf")
    (work.path / "split").mkdir()
    first = write_llama(work.path / "split" / "m.gguf", split=6)
    assert len(parts(str(first))) > 2
    drawn = work.run("step-rollout", "-m", first, *DRAW, input=PROBLEM)
    assert drawn.status == 0, drawn.err
    expected = work.run("step-rollout", "-m", whole, *DRAW, input=PROBLEM).out
    hashes = [fingerprint(str(path)).encode() for path in (first, whole)]
    assert b'"name":"m.gguf"' in drawn.out
    # seeds are made of the fingerprint, too
    assert hashes[0] != hashes[1] and hashes[0] in drawn.out and hashes[1] in expected
    likely = [
        work.run("step-score", "-m", path, "-t", "1", "--prompt", "{problem}", input=SCORED).out
        for path in (first, whole)
    ]
    assert likely[0].replace(hashes[0], hashes[1]) == likely[1] != b""


SCORED = '{"problem": "1 + 2?", "response": "1 + 2 = 3.", "steps": ["1 + 2 = 3."]}\n'


def test_a_part_that_is_missing_or_not_the_first_is_named(work: Workdir) -> None:
    first = write_llama(work.path / "m.gguf", split=12)
    second = Path(parts(str(first))[1])
    done = work.run("step-rollout", "-m", second, *DRAW, input=PROBLEM)
    assert done.status == 2
    assert f"a later part of a model; name the first one, {first}" in done.err
    second.rename(work.path / "away")
    done = work.run("step-rollout", "-m", first, *DRAW, input=PROBLEM)
    assert (done.status, done.err) == (
        2, f"step-rollout: --model {second}: no such file or directory\n"
    )  # fmt: skip


def test_the_fingerprint_covers_every_part(tmp_path: Path) -> None:
    first = write_llama(tmp_path / "m.gguf", split=12)
    before, last = fingerprint(str(first)), Path(parts(str(first))[-1])
    last.write_bytes(last.read_bytes()[:-1] + b"\1")
    assert fingerprint(str(first)) != before
    last.write_bytes(b"<html>")
    with pytest.raises(UsageError, match="not a GGUF file"):
        check_file(str(first), "-m")
