"""Whether weights are repacked: the probe itself, and what comes of each of its endings."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from work import Workdir

from stepkit.model.local import buffer_verdict
from stepkit.model.local.buffer_probe import compared, logits
from stepkit.model.local.buffer_verdict import run_probe, verdict
from stepkit.model.local.probe_model import TOKENS, model_bytes

PLAIN, AMX = "CPU : AVX2 = 1 | REPACK = 1 |", "CPU : AVX2 = 1 | AMX_INT8 = 1 | REPACK = 1 |"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Libraries, and where verdicts are kept."""
    monkeypatch.delenv("STEPKIT_EXTRA_BUFFERS", raising=False)
    monkeypatch.setenv("STEPKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "libggml-cpu.so").write_bytes(b"library")
    monkeypatch.setattr(buffer_verdict, "processor_text", lambda: "flags : avx2 amx_int8")
    return tmp_path


class Probe:
    """A stand-in of the child process, for a processor that is not here."""

    def __init__(self, found: str) -> None:
        self.found, self.runs = found, 0

    def __call__(self) -> str:
        self.runs += 1
        return self.found


def unused() -> str:
    raise AssertionError("this is not tried")


def test_the_probe_finds_this_build_safe() -> None:
    """Really: in a child process, on whatever this processor has."""
    assert run_probe() == "safe"


def test_the_probes_model_has_a_say_in_every_layer(tmp_path: Path) -> None:
    """Its logits are numbers that differ by text, and by weights."""
    path = tmp_path / "probe.gguf"
    path.write_bytes(model_bytes())
    one = logits(str(path), False)
    assert one.shape == (5, TOKENS) and np.isfinite(one).all()
    assert len({tuple(row) for row in one}) == 5
    path.write_bytes(model_bytes(1))
    assert compared(one, logits(str(path), False)).startswith("gives other logits (cosine ")


def test_other_numbers_are_told_from_other_rounding() -> None:
    plain = np.random.default_rng(0).normal(size=(3, 1000))
    assert compared(plain, plain * 1.001) == "safe"
    noise = np.random.default_rng(1).normal(size=(3, 1000))
    assert compared(plain, plain + 0.01 * noise) == "safe"
    assert compared(plain, plain + 0.5 * noise).startswith("gives other logits")
    wrong = plain.copy()
    wrong[1] = wrong[1][::-1]
    assert compared(plain, wrong).startswith("gives other logits"), "in one text of several"
    assert compared(plain, plain * np.where(plain > 3, np.nan, 1)) == "gives numbers that are none"
    assert compared(plain, 0 * plain).startswith("gives other logits")


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashes (SIGSEGV)"),
        ("import sys; sys.exit(3)", "fails"),
        ("pass", "fails"),
        ("print('gives numbers that are none')", "gives numbers that are none"),
        ("import time; time.sleep(60)", "does not come to an end"),
    ],
)
def test_every_ending_of_the_child_is_a_verdict(
    code: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python"
    shim.write_text(f"#!{sys.executable}\n{code}\n")
    shim.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(shim))
    monkeypatch.setattr(buffer_verdict, "LONGEST", 3.0)
    assert run_probe() == found


def test_a_build_without_amx_repacks_and_is_not_tried(folder: Path) -> None:
    found = verdict(PLAIN, folder, unused)
    assert found.repack
    assert "this processor has AMX, with which a build with -fno-tree-dse" in found.why


def test_a_safe_build_with_amx_repacks(folder: Path) -> None:
    probe = Probe("safe")
    assert verdict(AMX, folder, probe).repack
    assert verdict(AMX, folder, probe).repack
    assert probe.runs == 1, "it is kept"


def test_a_build_whose_amx_path_crashes_does_without_and_says_how_to_rebuild(folder: Path) -> None:
    found = verdict(AMX, folder, Probe("crashes (SIGSEGV)"))
    assert not found.repack
    assert "with AMX this build of llama.cpp crashes (SIGSEGV)" in found.why
    assert "-fno-tree-dse" in found.why
    assert not verdict(AMX, folder, unused).repack, "an unsafe build is not tried again either"


def test_another_library_or_processor_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Probe("safe")
    verdict(AMX, folder, probe)
    (folder / "libggml-cpu.so").write_bytes(b"rebuilt")
    verdict(AMX, folder, probe)
    monkeypatch.setattr(buffer_verdict, "processor_text", lambda: "flags : avx2 amx_int8 new")
    verdict(AMX, folder, probe)
    assert probe.runs == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"verdict": 1}'])
def test_a_verdict_that_cannot_be_read_is_found_again(folder: Path, content: str) -> None:
    verdict(AMX, folder, Probe("safe"))
    (kept,) = (folder / "cache").iterdir()
    kept.write_text(content)
    assert not verdict(AMX, folder, Probe("fails")).repack


def test_a_verdict_that_cannot_be_kept_is_a_verdict(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPKIT_CACHE", str(folder / "libggml-cpu.so" / "no-folder"))
    assert verdict(AMX, folder, Probe("safe")).repack


def test_the_user_decides_otherwise(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, repack in (("0", False), ("1", True)):
        monkeypatch.setenv("STEPKIT_EXTRA_BUFFERS", value)
        for information in (PLAIN, AMX):
            assert verdict(information, folder, unused).repack is repack


def test_the_path_that_is_taken_is_said_and_decides_the_bytes(work: Workdir) -> None:
    from work import ROOT

    problem = '{"problem": "Ann has 12 jars and buys 30 more. How many are there?"}\n'
    options = ("--method", "sample", "-k", "1", "--max-tokens", "4", "-t", "1", "-v")
    model = ROOT / "samples" / "models" / "policy.gguf"
    done = work.run("step-rollout", "-m", model, *options, input=problem)
    assert "step-rollout: weights repacked" in done.err
    plain = work.run(
        "step-rollout", "-m", model, *options, input=problem,
        environment={"STEPKIT_EXTRA_BUFFERS": "0"},
    )  # fmt: skip
    assert "step-rollout: weights plain, by STEPKIT_EXTRA_BUFFERS" in plain.err


def test_the_makefile_and_the_manual_build_it_alike() -> None:
    """With the flags that the verdict names, and no wheel that pip has kept."""
    from work import ROOT

    makefile = (ROOT / "Makefile").read_text()
    manual = (ROOT / "man" / "step-rollout.1").read_text()
    flags = buffer_verdict.REBUILD.split(" (")[0]
    assert f"AMX_FLAGS := {flags}\n" in makefile
    for text in (makefile, manual):
        assert "--no-cache-dir" in text and "--no-binary" in text
    assert f'-DCMAKE_C_FLAGS="{flags}" -DCMAKE_CXX_FLAGS="{flags}"' in manual
