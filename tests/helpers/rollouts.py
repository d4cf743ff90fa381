"""step-rollout on the shipped models: small runs of every method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from work import ROOT, Done, Workdir

POLICY = ROOT / "samples" / "models" / "policy.gguf"
PRM = ROOT / "samples" / "models" / "prm.gguf"
BASE = ("-m", str(POLICY), "-t", "1", "--max-tokens", "96")
SMALL = {
    "beam": ("--beams", "2", "--width", "3"),
    "dvts": ("--beams", "2", "--width", "3"),
    "lookahead": ("--beams", "2", "--width", "2"),
    "particle": ("-k", "5"),
    "speculate": ("-k", "3", "--draft", str(PRM)),
    "mcts": ("--searches", "12", "--width", "3"),
}
every_method = pytest.mark.parametrize("method", SMALL)


def problems(count: int, first: int = 0) -> str:
    lines = (ROOT / "samples" / "problems.jsonl").read_text().splitlines()
    return "".join(line + "\n" for line in lines[first : first + count])


def rollout(work: Workdir, text: str | bytes | None, *args: str | Path, **more: Any) -> Done:
    done = work.run("step-rollout", *BASE, *args, input=text, **more)
    assert "Traceback" not in done.err
    return done


def records(done: Done) -> list[dict[str, Any]]:
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.lines]
