"""Backups of a forest of a million nodes: the compiled kernel against the same loop in Python.

    python tests/bench/backups.py [NODES]

Prints a table: seconds of the compiled kernels (medians of seven, after the first call), of the
very same functions in plain Python (one run each), and the ratio.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from array import array
from collections.abc import Callable
from typing import Any

from stepkit.core import jit, kernels

NODES_PER_TREE = 30


def forest(nodes: int) -> dict[str, array[Any]]:
    """Random trees end to end: parents, ends, outcomes and as many simulations as nodes."""
    rng = random.Random(1)
    parent, ended, outcome = array("q"), array("b"), array("d")
    for node in range(nodes):
        start = node - node % NODES_PER_TREE
        parent.append(-1 if node == start else rng.randrange(start, node))
        ended.append(rng.random() < 0.6)
        outcome.append(float(rng.random() < 0.5) if rng.random() < 0.9 else float("nan"))
    visits = array("q")
    for start in range(0, nodes, NODES_PER_TREE):
        end = min(start + NODES_PER_TREE, nodes)
        visits.extend(rng.randrange(start, end) for _ in range(start, end))
    return {"parent": parent, "ended": ended, "outcome": outcome, "visits": visits}


def floats(size: int) -> array[float]:
    return array("d", bytes(8 * size))


def ints(size: int) -> array[int]:
    return array("q", bytes(8 * size))


def back_up(columns: dict[str, array[Any]]) -> list[Any]:
    size = len(columns["parent"])
    made = [floats(size), ints(size), ints(size), floats(size), floats(size), ints(size)]
    return [columns["parent"], columns["ended"], columns["outcome"], *made]


def replay(columns: dict[str, array[Any]]) -> list[Any]:
    size = len(columns["parent"])
    made = [floats(size), ints(size), ints(size)]
    return [columns["visits"], columns["parent"], columns["outcome"], *made]


def seconds(call: Callable[..., None], arguments: list[Any]) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def main() -> None:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    columns = forest(nodes)
    out = sys.stdout
    out.write(f"Backups of {nodes:,} nodes in trees of {NODES_PER_TREE}, seconds\n\n")
    out.write(f"{'kernel':<10}{'compiled':>10}{'Python':>10}{'ratio':>8}\n")
    cases = [("back_up", kernels.back_up, back_up), ("replay", kernels.replay, replay)]
    for name, kernel, arguments in cases:
        kernel(jit.REPAID, *arguments(columns))  # compiles, or loads what was compiled
        runs = [seconds(kernel, [jit.REPAID, *arguments(columns)]) for _ in range(7)]
        compiled = statistics.median(runs)
        plain = seconds(kernel.__wrapped__, arguments(columns))  # type: ignore[attr-defined]
        out.write(f"{name:<10}{compiled:>10.4f}{plain:>10.3f}{plain / compiled:>8.0f}\n")


if __name__ == "__main__":
    main()
