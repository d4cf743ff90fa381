"""How often a pair of siblings is the wrong way round, by what orders the siblings.

    python tests/bench/ranking.py [SETS]

SETS sets of siblings (20,000) of each kind are drawn, whose true values are known. Rule best-worst
makes at most one pair of each, as step-pairs does with --rank lower, mean and share. A pair is
wrong when its rejected sibling has the higher true value. The rankings do not make equally many
pairs, so they are compared at the same number: of 100 sets the 10, 25 and 50 pairs that rank
farthest apart, which is what a cap keeps. The standard error of each share is next to it.

The kinds:

    chain           the trace's own step with 8 draws after it, and 8 continuations of the prefix
                    that begin with one of 8 steps, some likelier than others: 1 to 8 draws each
    1 to 16 draws   2 to 8 siblings, each with a number of draws by chance
    tree            3 to 5 siblings with 4 next steps each, 24 simulations placed by UCT; the counts
                    are of all ends below, which is --value leaves
    8 draws         2 to 8 siblings with 8 draws each: all rankings are one order

True values lie about the value before, itself from anywhere in 0 .. 1, close to it or far away.
"one bound" is the lower bound for both sides, which step-pairs does not have: a sibling that was
drawn little is then what is rejected.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from math import inf, log, sqrt
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stepkit.core.pairs.evidence_reading import EvidenceReading
from stepkit.core.pairs.pair_filters import order_refusal
from stepkit.core.pairs.pair_rules import best_worst
from stepkit.core.pairs.sibling_ranks import RANKINGS, Rank
from stepkit.core.pairs.siblings import Sibling, SiblingSet
from stepkit.core.pairs.step_values import StepValue

Counted = tuple[float, int, int]
"""A sibling: its true value, its right draws, all its draws."""
PARTS = (0.1, 0.25, 0.5)
RANKINGS["one bound"] = lambda value, n: Rank(*[RANKINGS["lower"](value, n).low] * 2)


def near(chance: random.Random, value: float, closeness: float) -> float:
    """A value about another: the higher the closeness, the nearer."""
    a, b = max(value * closeness, 0.01), max((1 - value) * closeness, 0.01)
    return chance.betavariate(a, b)


def values(chance: random.Random, count: int) -> list[float]:
    before, closeness = chance.random(), chance.choice((2, 5, 10))
    return [near(chance, before, closeness) for _ in range(count)]


def drawn(chance: random.Random, value: float, n: int) -> Counted:
    return value, sum(chance.random() < value for _ in range(n)), n


def chain(chance: random.Random) -> list[Counted]:
    likely = [1 / (place + 1) for place in range(8)]
    counts = [0] * 8
    for step in chance.choices(range(8), likely, k=8):
        counts[step] += 1
    counts[chance.choices(range(8), likely)[0]] += 8
    both = zip(values(chance, 8), counts, strict=True)
    return [drawn(chance, value, n) for value, n in both if n]


def uneven(chance: random.Random) -> list[Counted]:
    some = values(chance, chance.randint(2, 8))
    return [drawn(chance, value, chance.randint(1, 16)) for value in some]


def even(chance: random.Random) -> list[Counted]:
    return [drawn(chance, value, 8) for value in values(chance, chance.randint(2, 8))]


def tree(chance: random.Random) -> list[Counted]:
    below = [
        [near(chance, value, 4) for _ in range(4)] for value in values(chance, chance.randint(3, 5))
    ]
    k, n = [[[0] * 4 for _ in below] for _ in range(2)]

    def upper(right: int, count: int, above: int) -> float:
        return right / count + sqrt(log(above) / count) if count else inf

    for done in range(24):
        above = max(done, 1)
        step = max(range(len(below)), key=lambda i: upper(sum(k[i]), sum(n[i]), above))
        through = max(sum(n[step]), 1)
        end = max(range(4), key=lambda j: upper(k[step][j], n[step][j], through))
        n[step][end] += 1
        k[step][end] += chance.random() < below[step][end]
    return [
        (sum(chances) / 4, sum(right), sum(count))
        for chances, right, count in zip(below, k, n, strict=True)
    ]


KINDS: dict[str, Callable[[random.Random], list[Counted]]] = {
    "chain": chain,
    "1 to 16 draws": uneven,
    "tree": tree,
    "8 draws": even,
}


def pair_of(siblings: list[Counted], rank: str) -> tuple[float, bool] | None:
    """How far apart the two rank, and whether they are the wrong way round; None for no pair."""
    nothing: Any = None  # the siblings have texts, but stand in no record
    members, truth = [], {}
    for number, (value, k, n) in enumerate(siblings):
        one = Sibling(str(number), number)
        one.add(StepValue(k, n, k, n, (number,)))
        members.append(one)
        truth[one.text] = value
    made = SiblingSet(nothing, 0, 0, members, rank)
    ((better, worse),) = best_worst(made, EvidenceReading(rank=rank))
    if order_refusal(better, worse):
        return None
    return better.rank.low - worse.rank.high, truth[better.text] < truth[worse.text]


def cell(pairs: list[tuple[float, bool]], most: int) -> str:
    if len(pairs) < most:
        return "-"
    wrong = sum(is_wrong for _, is_wrong in pairs[:most]) / most
    return f"{wrong:.4f} ({sqrt(wrong * (1 - wrong) / most):.4f})"


def main(count: int) -> None:
    print(f"share of pairs that are the wrong way round (standard error), {count} sets of each\n")
    heads = [f"{part:.0%} of sets" for part in PARTS]
    print(f"{'kind':<15}{'--rank':<11}{'pairs':>7}" + "".join(f"{head:>18}" for head in heads))
    for kind, make in KINDS.items():
        chance = random.Random(kind)
        sets = [one for one in (make(chance) for _ in range(count)) if len(one) > 1]
        for rank in RANKINGS:
            pairs = [pair for one in sets if (pair := pair_of(one, rank))]
            random.Random(rank).shuffle(pairs)  # of those that rank as far apart, any
            pairs.sort(key=lambda pair: -pair[0])
            cells = "".join(f"{cell(pairs, int(part * count)):>18}" for part in PARTS)
            print(f"{kind:<15}{rank:<11}{len(pairs) / count:>7.2f}{cells}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
