"""How fast step-pairs is: trees of 30 nodes to pairs, against reading and writing the same lines.

    python tests/bench/pairs.py [TREES] [ROUNDS]

Makes a file of TREES traces (100,000) of 30 nodes each, half of them chains with draws at every
prefix and half search trees, and runs by turns, ROUNDS (3) times: step-pairs, and a loop of
orjson.loads and orjson.dumps over the lines. Says the medians, their ratio, and the most memory
that step-pairs took; with a tenth of the trees it says that too, to show what grows.

Measured on 2 busy cores (Python 3.11): 100,000 trees, 5.6 pairs each, 0.05 to 0.07 of the speed of
orjson alone, 0.4 to 0.8 ms a tree; 104 MiB, 64 MiB for a tenth of the trees (the 8 bytes known of
each pair written). The aim was half the speed, 0.03 ms a tree. Writing its pairs alone takes that
twice over: to come near it, the siblings' texts would have to be cut, compared and written
outside of Python.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from stepkit.core import tree as trees

REWRITE = """
import sys, orjson
with open(sys.argv[1], "rb") as lines, open(sys.argv[2], "wb") as out:
    for line in lines:
        out.write(orjson.dumps(orjson.loads(line)) + b"\\n")
"""
NODES = 30


def words(chance: random.Random) -> str:
    """A step of some 60 characters."""
    a, b = chance.randrange(1000), chance.randrange(1000)
    return f"Taking {a} apples and {b} more makes {a + b} in the basket now.\n"


def chain(chance: random.Random, number: int) -> dict[str, Any]:
    """A trace of 5 steps and 24 draws from its prefixes."""
    steps = [words(chance) for _ in range(5)]
    tree = trees.from_steps(steps)
    sampler = trees.sampler_index(tree, {"id": "5a", "prompt": "{problem}\n"})
    places = [0, *tree["spine"][:-1]]
    for draw in range(NODES - 6):
        outcome = float(chance.random() < 0.5)
        columns: dict[str, Any] = {"whole": True, "finish": "stop", "outcome": outcome}
        columns |= {"by": sampler, "draw": draw // 5, "tokens": 40, "logprob": -12.5}
        trees.add(tree, places[draw % 5], words(chance) + "So 7.", final="7", **columns)
    tree["finish"][tree["spine"][-1]], tree["outcome"][tree["spine"][-1]] = "stop", 0.0
    return about(number) | {"response": "".join(steps), "steps": steps, "tree": tree}


def search(chance: random.Random, number: int) -> dict[str, Any]:
    """A tree of 9 grown steps with two draws after each."""
    tree = trees.from_steps([])
    sampler = trees.sampler_index(tree, {"id": "5a", "prompt": "{problem}\n"})
    places = [0]
    for step in range(9):
        drawn: dict[str, Any] = {"by": sampler, "draw": step, "tokens": 20, "logprob": -6.25}
        above = places[step // 3]
        places.append(trees.add(tree, above, words(chance), whole=False, finish="", **drawn))
    for place in places[1:]:
        for draw in range(2):
            outcome = float(chance.random() < 0.5)
            columns: dict[str, Any] = {"whole": True, "finish": "stop", "outcome": outcome}
            columns |= {"by": sampler, "draw": draw, "tokens": 40, "logprob": -12.5}
            trees.add(tree, place, words(chance) + "So 7.", final="7", **columns)
    while len(tree["parent"]) < NODES:
        trees.add(tree, 0, words(chance), whole=False, finish="", by=sampler, draw=99)
    return about(number) | {"tree": tree}


def about(number: int) -> dict[str, Any]:
    problem = f"Problem {number}: how many apples are in the basket?"
    return {"id": f"t{number}", "group": f"g{number}", "problem": problem, "split": {"by": "lines"}}


def timed(*command: str) -> tuple[float, int]:
    """Seconds, and the most memory in MiB of any child so far."""
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    chance = random.Random(6)
    with tempfile.TemporaryDirectory() as folder:
        lines, few, out = (str(Path(folder, name)) for name in ("in.jsonl", "few.jsonl", "out"))
        with open(lines, "wb") as all_of_them, open(few, "wb") as tenth:
            for number in range(count):
                line = orjson.dumps((chain if number % 2 else search)(chance, number)) + b"\n"
                all_of_them.write(line)
                if number < count // 10:
                    tenth.write(line)
        pairs = [str(Path(sys.executable).with_name("step-pairs")), "-q", "-o", out]
        rewrite = [sys.executable, "-c", REWRITE, lines, out]
        _, little = timed(*pairs, few)
        times = [(timed(*rewrite)[0], timed(*pairs, lines)) for _ in range(rounds)]
        with open(out, "rb") as rows:
            written = sum(1 for _ in rows)
        size = Path(lines).stat().st_size
    plain, ours = median(plain for plain, _ in times), median(took for _, (took, _) in times)
    most = max(memory for _, (_, memory) in times)
    say = sys.stdout.write
    say(f"{count} trees of {NODES} nodes, {size / count:.0f} bytes each; {written} pairs\n")
    say(f"read and write with orjson  {plain:8.2f} s\nstep-pairs  {ours:24.2f} s\n")
    say(f"speed against orjson  {plain / ours:14.3f}\n")
    say(f"memory  {most} MiB; for a tenth of the trees {little} MiB\n")


if __name__ == "__main__":
    main()
