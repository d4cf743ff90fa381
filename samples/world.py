"""The sample world: short word problems with exact step-by-step solutions.

As in real problems, checking is easier than solving. In addition to plain stages (gain, lose,
times, share) each problem has one or two *choices*: three numbers and the sum of two of them. To
solve it one must search for the pair that fits; to check it, one addition is enough. A small model
that guesses the pair writes a false equation and continues with confidence, and its wrong answers
have few values: a majority vote is weak, a verifier is strong.

A problem belongs to the train or test split by a hash of its numbers and stages, without names and
things. So no seed and no renaming brings a test problem into the training set.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Iterator
from typing import NamedTuple

PEOPLE = (
    ("Mia", "she"), ("Leo", "he"), ("Ann", "she"), ("Tom", "he"),
    ("Eva", "she"), ("Ben", "he"), ("Ida", "she"), ("Max", "he"),
)  # fmt: skip
THINGS = ("beads", "nuts", "pens", "cards", "shells", "coins", "plums", "stamps")
BAGS = ("bag", "box", "jar", "tin")
PLURAL = {"bag": "bags", "box": "boxes", "jar": "jars", "tin": "tins"}
TEST_SHARE = 10  # one problem in ten is a test problem


class Stage(NamedTuple):
    """One stage: its sentence, its solution step, and the number held after it."""

    text: str
    step: str
    held: int


class Problem(NamedTuple):
    """A problem; `key` is what the split is decided by."""

    problem: str
    answer: str
    solution: str
    key: str


def pick_three(rng: random.Random) -> tuple[list[int], int]:
    """Three different numbers and the place of the one that is not in the pair."""
    return rng.sample(range(3, 21), 3), rng.randrange(3)


def choice(
    rng: random.Random, who: str, thing: str, bag: str, other: str, first: bool
) -> tuple[str, str, int, list[int]]:
    """Three vessels, two of them given by their sum: the third one counts.

    Returns the sentence, the step, the third number and the numbers for the split key.
    """
    numbers, odd = pick_three(rng)
    pair = [n for i, n in enumerate(numbers) if i != odd]
    a, b, c = numbers
    what = f"{PLURAL[bag]} of {a}, {b} and {c} {thing}"
    if first:
        text = f"{who} has {what}. Two of them, {sum(pair)} {thing} in all, go to {other}."
        end = f"so the {bag} of {numbers[odd]} stays."
    else:
        text = f"{who} finds {what}. Two of them, {sum(pair)} {thing} in all, belong to {other}."
        end = f"so the {bag} of {numbers[odd]} is new."
    return text, f"{pair[0]} + {pair[1]} = {sum(pair)}, {end}", numbers[odd], [*numbers, odd]


def plain(rng: random.Random, kind: str, held: int, who: str, thing: str) -> Stage | None:
    """A stage of simple arithmetic, or None where the numbers do not fit."""
    if kind == "gain":
        n = rng.randrange(2, 21)
        text, sign, after = f"{who} buys {n} {thing}.", "+", held + n
    elif kind == "lose":
        n = rng.randrange(2, 21)
        text, sign, after = f"{who} loses {n} {thing}.", "-", held - n
    elif kind == "times":
        n = rng.choice((2, 3))
        text, sign, after = f"A game makes them {n} times as many.", "*", held * n
    else:
        n = rng.choice((2, 3, 4, 5))
        if held % n:
            return None
        text, sign, after = f"{who} splits them into {n} parts and keeps one.", "/", held // n
    if not 3 <= after < 100:
        return None
    return Stage(text, f"{held} {sign} {n} = {after}.", after)


def draw_stage(rng: random.Random, held: int, who: str, thing: str, kinds: list[str]) -> Stage:
    """Draw plain stages until one fits, and not the last kind again."""
    while True:
        kind = rng.choice(("gain", "gain", "lose", "lose", "times", "share"))
        stage = plain(rng, kind, held, who, thing) if kind not in kinds[-1:] else None
        if stage:
            kinds.append(kind)
            return stage


def build(rng: random.Random) -> Problem:
    """One problem with its solution."""
    (who, pronoun), (other, _) = rng.sample(PEOPLE, 2)
    thing, bag = rng.choice(THINGS), rng.choice(BAGS)
    text, step, held, numbers = choice(rng, who, thing, bag, other, first=True)
    sentences, steps = [text], [step]
    key: list[list[int | str]] = [[*numbers]]
    second = rng.randrange(2) if rng.random() < 0.5 else None
    kinds: list[str] = []
    for place in range(2 if second is None else 1 + rng.randrange(2)):
        if place == second:
            found = choice(rng, who, thing, rng.choice(BAGS), other, first=False)
            if held + found[2] < 100:
                sentences.append(found[0])
                steps += [found[1], f"{held} + {found[2]} = {held + found[2]}."]
                held += found[2]
                key.append([*found[3]])
                continue
        stage = draw_stage(rng, held, who, thing, kinds)
        sentences.append(stage.text)
        steps.append(stage.step)
        held = stage.held
        key.append([kinds[-1], held])
    if rng.random() < 0.3:
        place = rng.randrange(len(sentences) + 1)
        sentences.insert(place, f"{other} is {rng.randrange(5, 60)} years old.")
    sentences.append(f"How many {thing} does {pronoun} have?")
    steps.append(f"Answer: {held}")
    return Problem(" ".join(sentences), str(held), "\n".join(steps), json.dumps(key))


def split_of(key: str) -> str:
    """The split that a problem belongs to, whatever seed drew it."""
    digest = hashlib.sha256(key.encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") % TEST_SHARE == 0 else "train"


def problems(split: str, seed: int) -> Iterator[Problem]:
    """An endless stream of problems of one split, without repeats."""
    rng = random.Random(f"{split}/{seed}")
    seen: set[str] = set()
    while True:
        problem = build(rng)
        if split_of(problem.key) == split and problem.problem not in seen:
            seen.add(problem.problem)
            yield problem


def main() -> None:
    """Print problems as JSON lines."""
    parser = argparse.ArgumentParser(description="print word problems as JSON lines")
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    prefix = "p" if args.split == "test" else "t"
    for number, problem in zip(range(1, args.n + 1), problems(args.split, args.seed), strict=False):
        record = problem._asdict() | {"id": f"{prefix}{number}"}
        print(json.dumps({k: record[k] for k in ("id", "problem", "answer", "solution")}))


if __name__ == "__main__":
    main()
