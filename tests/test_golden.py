"""Golden cases: one directory each, reviewed by people.

tests/cases/COMMAND/NAME/ holds ``cmd`` (run with bash in that directory), what it reads
(``in.jsonl``, as a rule), and what must come of it: ``out`` (standard output), ``err`` (standard
error) and ``code`` (exit status). A missing ``out`` or ``err`` is an empty one; ``$CASE_TMP`` is an
empty directory, in the command and in what it says. ``make golden`` writes them anew; git diff
shows what that changed, and no case is right because it was written. Digits that depend on the
machine's logarithm are cut off by the command.

Model commands appear with their errors only: what a model says differs in its last digits between
machines.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from work import ROOT, clean_environment, commands

FOLDER = ROOT / "tests" / "cases"
CASES = sorted(path.parent for path in FOLDER.glob("*/*/cmd"))


def answer(case: Path, home: Path) -> dict[str, str]:
    """What the case's command line writes, and how it ends."""
    done = subprocess.run(
        ["bash", "-uo", "pipefail", "cmd"],
        cwd=case,
        env=clean_environment(home) | {"CASE_TMP": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    out, err = (
        text.decode().replace(str(home), "$CASE_TMP") for text in (done.stdout, done.stderr)
    )
    return {"out": out, "err": err, "code": f"{done.returncode}\n"}


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_golden(case: Path, tmp_path: Path) -> None:
    got = answer(case, tmp_path)
    if os.environ.get("STEPKIT_GOLDEN") == "write":
        for name, text in got.items():
            if text:
                (case / name).write_text(text)
            else:
                (case / name).unlink(missing_ok=True)
        return
    for name, text in got.items():
        expected = case / name
        assert text == (expected.read_text() if expected.exists() else ""), name


def test_cases_belong_to_commands() -> None:
    assert {case.parent.name for case in CASES} == set(commands())
    for case in CASES:
        assert (case / "code").exists(), f"{case.name}: make golden, and review what it wrote"
