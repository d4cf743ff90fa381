"""How much does a verifier help? Read scored attempts, print the table of the model card.

Input: traces with `correct`, `final` and `scores.NAME.x` (one number per step), the attempts at a
problem being adjacent. Everything is measured within problems: the choice among the attempts at one
problem, and the AUC over pairs of them. A pooled AUC would reward a score that only knows which
problems are hard.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import groupby, product

AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "min": min,
    "prod": math.prod,
    "last": lambda x: x[-1],
    "mean": lambda x: sum(x) / len(x),
}


def score_of(aggregate: Callable[[list[float]], float], name: str, trace: dict) -> float:
    """One number for an attempt."""
    return aggregate(trace["scores"][name]["x"])


def best(group: list[dict], score: Callable[[dict], float]) -> float:
    """Chance that the best scored attempt is right, with ties broken at random."""
    top = max(map(score, group))
    tied = [trace["correct"] for trace in group if score(trace) == top]
    return sum(map(bool, tied)) / len(tied)


def vote(group: list[dict], score: Callable[[dict], float]) -> float:
    """Chance that the answer with the largest sum of scores is right, ties at random."""
    sums: dict[str | None, float] = defaultdict(float)
    right = {}
    for trace in group:
        sums[trace["final"]] += score(trace)
        right[trace["final"]] = bool(trace["correct"])
    sums.pop(None, None)
    if not sums:
        return 0.0
    tied = [right[answer] for answer, total in sums.items() if total == max(sums.values())]
    return sum(tied) / len(tied)


def pairs(groups: list[list[dict]], score: Callable[[dict], float]) -> float:
    """AUC within problems: how often a right attempt outscores a wrong one of the same problem."""
    wins = total = 0.0
    for group in groups:
        right = [score(t) for t in group if t["correct"]]
        wrong = [score(t) for t in group if not t["correct"]]
        wins += sum((a > b) + (a == b) / 2 for a, b in product(right, wrong))
        total += len(right) * len(wrong)
    return wins / total if total else math.nan


def interval(differences: list[float], seed: int = 0, rounds: int = 10000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over problems."""
    rng, n = random.Random(seed), len(differences)
    means = sorted(sum(rng.choices(differences, k=n)) / n for _ in range(rounds))
    return means[rounds // 40], means[-rounds // 40]


def line(name: str, values: list[float], base: list[float], text: str) -> str:
    """One row: the mean, and the paired difference to a base line with its interval."""
    percent = 100 / len(values)
    low, high = (100 * end for end in interval([v - b for v, b in zip(values, base, strict=True)]))
    gain = percent * (sum(values) - sum(base))
    return (
        f"| {name} | {percent * sum(values):.1f} | {gain:+.1f} [{low:+.1f}, {high:+.1f}] {text} |"
    )


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description="how much do scores help within problems?")
    parser.add_argument("--name", default="prm", help="which scores")
    parser.add_argument("file", nargs="?", type=argparse.FileType(), default=sys.stdin)
    args = parser.parse_args()
    traces = map(json.loads, args.file)
    groups = [list(g) for _, g in groupby(traces, key=lambda t: t["group"])]
    single = [sum(bool(t["correct"]) for t in g) / len(g) for g in groups]
    plain = [vote(g, lambda t: 1.0) for g in groups]
    size = max(map(len, groups))
    print(f"{len(groups)} problems, {size} attempts each\n\n| rule | right, % | gain, points |")
    print("|---|---|---|")
    print(line("single attempt", single, single, "over single"))
    print(line(f"majority of {size}", plain, single, "over single"))
    reached = [float(any(t["correct"] for t in g)) for g in groups]
    print(line(f"pass@{size}", reached, single, "over single"))
    for rule, aggregate in AGGREGATES.items():
        score = partial(score_of, aggregate, args.name)
        chosen, voted = [best(g, score) for g in groups], [vote(g, score) for g in groups]
        print(line(f"best of {size}, {rule}", chosen, single, "over single"))
        print(line(f"weighted vote, {rule}", voted, plain, "over majority"))
        print(f"| AUC within problems, {rule} | {100 * pairs(groups, score):.1f} | |")


if __name__ == "__main__":
    main()
