"""What the checks by the trainers share: rows from the real commands, a tiny model, the report.

A plugin of pytest. `make interop` runs it in an environment of its own; `make test` never does: no
file here has a name that pytest collects unasked.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "interop"
REPORT = Path(__file__).parent / "RESULT.md"

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1")

Rows = Callable[..., Path]


@pytest.fixture(scope="session")
def labels() -> Path:
    """Labelled traces with rollouts of the shipped policy, made by the Makefile."""
    return BUILD / "labels.jsonl"


@pytest.fixture(scope="session")
def rows(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """``rows(target, *options)``: the file that step-pairs writes, in a directory of its own."""

    def make(target: str, *options: str) -> Path:
        path = tmp_path_factory.mktemp(target) / "rows.jsonl"
        command = ["step-pairs", str(labels), "--to", target, *options, "-o", str(path)]
        subprocess.run(command, check=True)
        return path

    return make


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a small random model and its tokenizer."""
    import tiny

    path = tmp_path_factory.mktemp("model")
    tiny.make(path, ROOT / "samples" / "traces.jsonl")
    return path


@pytest.fixture(scope="session")
def tokenizer(model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


def load(*paths: Path, streaming: bool = False) -> Any:
    """The rows as everybody loads them."""
    from datasets import load_dataset

    files = [str(path) for path in paths]
    return load_dataset("json", data_files=files, split="train", streaming=streaming)


_results: list[tuple[str, str]] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _results.append((report.nodeid.partition("::")[2], report.outcome))


def pytest_sessionfinish() -> None:
    """Write the report: what ran, with which versions, on which commit."""
    names = ("trl", "datasets", "transformers", "torch", "axolotl", "llamafactory", "ms-swift")
    versions = ", ".join(f"{name} {version(name)}" for name in (*names, "openrlhf", "verl"))
    lines = [f"- {outcome}: {name.replace('_', ' ')}" for name, outcome in _results]
    REPORT.write_text(
        "# The last run of `make interop`\n\n"
        f"Commit {_commit()}; {versions}; PRMTrainer of trl 1.13.0.\n\n" + "\n".join(lines) + "\n"
    )


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.check_output(["git", *arguments], cwd=ROOT, text=True).strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{REPORT}")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
