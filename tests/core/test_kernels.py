"""Compiled kernels against the plain function, and both against a slow, obvious count."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from work import ROOT

from stepkit.core import jit, kernels, tree


@some.composite
def forests(draw: some.DrawFn) -> tuple[list[tree.Tree], list[int]]:
    """Trees with repeated draw numbers, two samplers, failures, undecided draws and cuts."""
    made = []
    for _ in range(draw(some.integers(0, 4))):
        one = tree.from_steps(["s"] * draw(some.integers(0, 4)))
        for name in ("aa", "bb"):
            tree.sampler_index(one, {"id": name})
        for _ in range(draw(some.integers(0, 12))):
            tree.add(
                one,
                draw(some.integers(0, len(one["parent"]) - 1)),
                "x",
                whole=draw(some.booleans()),
                finish=draw(some.sampled_from(["stop", "length", "error"])),
                outcome=draw(some.sampled_from([None, 0.0, 1.0, 0.1])),
                by=draw(some.integers(0, 1)),
                draw=draw(some.integers(0, 3)),
                cut=draw(some.sampled_from([-1, -1, -1, 0])),
            )
        made.append(one)
    return made, [draw(some.integers(0, 1)) for _ in made]


def arguments(made: list[tree.Tree], samplers: list[int]) -> list[array[Any]]:
    forest = tree.build_forest(made)
    counts = tree.no_counts(forest.offsets[-1])
    return [*forest[:1], array("q", samplers), *forest[1:], *counts]


def obvious(made: list[tree.Tree], samplers: list[int]) -> tuple[list[float], list[int], list[int]]:
    k: list[float] = []
    n: list[int] = []
    undecided: list[int] = []
    for one, by in zip(made, samplers, strict=True):
        for node in range(len(one["parent"])):
            kept: dict[int, float | None] = {}
            for child in range(len(one["parent"])):
                is_draw = one["whole"][child] and one["cut"][child] == -1
                here = one["parent"][child] == node and one["by"][child] == by
                if here and is_draw and one["finish"][child] != "error":
                    kept.setdefault(one["draw"][child], one["outcome"][child])
            decided = [x for x in kept.values() if x is not None]
            total = 0.0
            for x in decided:
                total += x
            k.append(total)
            n.append(len(decided))
            undecided.append(len(kept) - len(decided))
    return k, n, undecided


@given(forests())
def test_plain_counts_are_the_obvious_ones(case: tuple[list[tree.Tree], list[int]]) -> None:
    given_arrays = arguments(*case)
    kernels.count_draws.__wrapped__(*given_arrays)  # type: ignore[attr-defined]
    assert tuple(list(column) for column in given_arrays[-3:]) == obvious(*case)


@given(forests())
def test_compiled_equals_plain_bit_for_bit(case: tuple[list[tree.Tree], list[int]]) -> None:
    plain, fast = arguments(*case), arguments(*case)
    kernels.count_draws.__wrapped__(*plain)  # type: ignore[attr-defined]
    kernels.count_draws(jit.REPAID, *fast)
    assert [column.tobytes() for column in plain] == [column.tobytes() for column in fast]


def run(code: str, **environment: str) -> str:
    full = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-c", code], env=full, check=True, capture_output=True, text=True
    ).stdout


COUNT = """
import sys
from stepkit.core import jit, tree
one = tree.from_steps(["a", "b"])
tree.sampler_index(one, {"id": "s"})
for node, draw, outcome in [(0, 0, 1.0), (0, 1, 0.0), (1, 0, None), (0, 1, 0.0)]:
    tree.add(one, node, "x", whole=True, finish="stop", outcome=outcome, by=0, draw=draw)
jit.REPAID = LIMIT
c = tree.count_draws(tree.build_forest([one]), [0])
print(*(x.tolist() for x in (c.k, c.n, c.undecided)),
      "numba" in sys.modules, "numpy" in sys.modules)
"""
COUNTED = "[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0] [2, 0, 0, 0, 0, 0, 0] [0, 1, 0, 0, 0, 0, 0]"


def test_little_work_imports_neither_numba_nor_numpy() -> None:
    assert run(COUNT.replace("LIMIT", "10**6")).strip() == f"{COUNTED} False False"


def test_no_jit_is_obeyed() -> None:
    out = run(COUNT.replace("LIMIT", "0"), STEPKIT_NO_JIT="1")
    assert out.strip() == f"{COUNTED} False False"


def test_compiled_code_stays_within_bounds(tmp_path: Path) -> None:
    out = run(COUNT.replace("LIMIT", "0"), NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(tmp_path))
    assert out.strip() == f"{COUNTED} True True"


def test_work_adds_up_until_compiling_repays(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def fake_compile(kernel: Any) -> Any:
        compiled.append(kernel)
        return kernel

    monkeypatch.setattr(jit, "_compile", fake_compile)

    @jit.jit
    def double(x: array[float]) -> None:
        for i in range(len(x)):
            x[i] *= 2

    x = array("d", [1.0])
    double(jit.REPAID - 1, x)
    assert not compiled
    double(1, x)
    double(1, x)
    assert len(compiled) == 1
    assert list(x) == [8.0]


def test_an_unwritable_cache_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    asked = []

    def njit(cache: bool = False, nogil: bool = False) -> Any:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda kernel: kernel

    monkeypatch.setattr(numba, "njit", njit)

    @jit.jit
    def fill(x: array[float]) -> None:
        x[0] = math.pi

    x = array("d", [0.0])
    fill(jit.REPAID, x)
    assert asked == [True, False]
    assert x[0] == math.pi


def test_warming_leaves_a_cache_that_the_real_call_uses(tmp_path: Path) -> None:
    run("from stepkit.core import tree; tree.compile_kernels()", NUMBA_CACHE_DIR=str(tmp_path))
    cached = sorted(tmp_path.rglob("*.nb?"))
    assert [path.suffix for path in cached] == [".nbc", ".nbi"]
    run(COUNT.replace("LIMIT", "0"), NUMBA_CACHE_DIR=str(tmp_path))
    assert sorted(tmp_path.rglob("*.nb?")) == cached
