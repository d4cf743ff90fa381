"""The script of `make experiment`, on files whose table is known by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from work import ROOT

SCRIPT = ROOT / "samples" / "guided.py"
RULES = ("majority", "best", "weighted")


def write(path: Path, *records: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def attempt(problem: str, correct: bool, tokens: int, **more: Any) -> dict[str, Any]:
    return {"problem": problem, "correct": correct, "sample": {"tokens": tokens}, **more}


def test_the_table_counts_tokens_and_right_choices(tmp_path: Path) -> None:
    write(tmp_path / "problems.jsonl", {"problem": "a"}, {"problem": "b"})
    drawn = [attempt("a", True, 10), attempt("a", False, 20), attempt("b", False, 30)]
    write(tmp_path / "sample.jsonl", *drawn)
    write(tmp_path / "first.jsonl", *drawn[:1])
    # one attempt is drawn anew, the other was good and passed through
    write(tmp_path / "refined.jsonl", drawn[1], attempt("a", True, 10, labels={}))
    tree = {"by": [-1, 0, 0, 0], "finish": ["", "", "stop", "stop"], "tokens": [0, 7, 3, 4]}
    for method in ("beam", "dvts", "particle"):
        write(tmp_path / f"{method}.jsonl", {"problem": "a", "tree": tree})
    for method in ("sample", "beam", "dvts", "particle", "refined"):
        for rule in RULES:
            best = attempt("a", method != "dvts", 10)
            write(tmp_path / f"{method}.{rule}.jsonl", best)  # of b nothing was found
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path, tmp_path / "problems.jsonl"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = {line[:27].strip(): line[27:].split() for line in done.stdout.splitlines()[3:]}
    assert rows["one attempt"][:2] == ["15", "25.0"]  # 60 tokens, 2 problems, 2 attempts each
    assert rows["best of 17"][:2] == ["30", "50.0"]
    assert rows["beam 4 x 4, best"][:2] == ["8", "50.0"]  # 7 + 3 + 4 and the token after the 7
    assert rows["dvts 4 x 4, best"][:2] == ["8", "0.0"]
    assert rows["7 and refinement, best"][:2] == ["15", "50.0"]  # 10 at first, then 20
