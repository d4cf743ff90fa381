"""Print the demonstration's table: how often each way to choose an answer is right.

    python samples/table.py ATTEMPTS CHOSEN...

ATTEMPTS are the graded attempts, the attempts of a problem adjacent; each CHOSEN file holds one
chosen attempt per problem, as step-rerank writes it, and is named after its rule. Intervals are
95 % bootstrap intervals over problems; differences are paired by problem.
"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path

from evaluate import interval

NAMES = {
    "majority": "majority of {k}",
    "best": "best of {k} by PRM",
    "weighted": "vote of {k} weighted by PRM",
}


def shares(path: str) -> tuple[dict[str, float], int]:
    """Per problem the share of its attempts that are right, and the most attempts of a problem."""
    with open(path) as file:
        groups = [(name, list(g)) for name, g in groupby(map(json.loads, file), group_of)]
    right = {name: sum(t["correct"] is True for t in g) / len(g) for name, g in groups}
    return right, max(len(g) for _, g in groups)


def group_of(trace: dict) -> str:
    """The problem that a trace belongs to."""
    return trace["group"]


def row(name: str, values: list[float], base: list[float] | None) -> str:
    """A line of the table; ``base`` is what the difference is taken to."""
    low, high = interval(values)
    text = f"{name:<28} {share(values):5.1f}  [{100 * low:4.1f}, {100 * high:4.1f}]"
    if base is None:
        return text
    gains = [value - before for value, before in zip(values, base, strict=True)]
    low, high = interval(gains)
    return f"{text}  {share(gains):+5.1f} [{100 * low:+5.1f}, {100 * high:+5.1f}]"


def share(values: list[float]) -> float:
    """Mean in percent."""
    return 100 * sum(values) / len(values)


def main(attempts: str, *chosen: str) -> None:
    """Print it."""
    single, k = shares(attempts)
    problems = list(single)
    print(f"{len(problems)} test problems, {k} attempts each; % right with 95 % intervals\n")
    print(f"{'':<28} {'right':>5}  {'':12}  against one attempt")
    one = [single[problem] for problem in problems]
    print(row("one attempt", one, None))
    columns = {}
    for path in chosen:
        rule = Path(path).stem
        found, _ = shares(path)
        columns[rule] = [found[problem] for problem in problems]
        print(row(NAMES.get(rule, rule).format(k=k), columns[rule], one))
    if {"weighted", "majority"} <= columns.keys():
        pairs = zip(columns["weighted"], columns["majority"], strict=True)
        gains = [weighted - plain for weighted, plain in pairs]
        low, high = interval(gains)
        print(
            f"\nThe weighted vote against the plain majority: {share(gains):+.1f} points "
            f"[{100 * low:+.1f}, {100 * high:+.1f}]."
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
