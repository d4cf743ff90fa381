"""step-rerank against a copy by orjson, which parses and writes every line and does nothing else.

    python tests/bench/rerank.py [TRACES]

A million scored traces of about a kilobyte, eight attempts at each problem. By turns, three times;
the best is reported: seconds on the clock and of the processor, the speed by the latter, and
the most memory. The aim was half the speed of the copy.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

RECORDS, ATTEMPTS, STEPS, RUNS = 1_000_000, 8, 5, 3
WORDS = ("the", "number", "of", "apples", "in", "each", "box", "is", "what", "we", "take", "away")
COPY = """
import sys, orjson
write = sys.stdout.buffer.write
for line in sys.stdin.buffer:
    write(orjson.dumps(orjson.loads(line)) + b"\\n")
"""
WAYS: dict[str, list[str]] = {
    "copy by orjson": [sys.executable, "-c", COPY],
    "step-rerank": ["step-rerank", "-q"],
    "--aggregate product": ["step-rerank", "-q", "--aggregate", "product"],
    "--by weighted": ["step-rerank", "-q", "--by", "weighted"],
    "--by majority": ["step-rerank", "-q", "--by", "majority"],
    "--all": ["step-rerank", "-q", "--all"],
}


def traces(count: int) -> Iterator[str]:
    """Lines of scored traces; half of the attempts at a problem give one answer."""
    rng = random.Random(1)
    for group in range(count // ATTEMPTS):
        problem = " ".join(rng.choices(WORDS, k=30))
        answers = [str(rng.randrange(1000)) for _ in range(4)]
        for attempt in range(ATTEMPTS):
            steps = [
                f"{' '.join(rng.choices(WORDS, k=12))} {rng.randrange(100)}.\n"
                for _ in range(STEPS)
            ]
            x = [rng.random() for _ in steps]
            record = {
                **{"id": f"p{group}/{attempt}", "group": f"p{group}", "problem": problem},
                **{"answer": answers[0], "response": "".join(steps), "steps": steps},
                **{"split": {"by": "lines"}, "final": answers[max(0, rng.randrange(-3, 4))]},
                "scores": {
                    "prm": {"of": "value", "by": "scorer", "x": x, "meta": {"model": "prm"}}
                },
                "stepkit": 1,
            }
            yield json.dumps(record) + "\n"


def run(command: list[str], path: str) -> tuple[float, float, float]:
    """Seconds on the clock and of the processor, and MB at most, of one run."""
    started = time.monotonic()
    with open(path, "rb") as file, open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, stdin=file, stdout=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]}: status {status}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(count: int) -> None:
    """Print the table."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(traces(count))
        file.flush()
        size = os.path.getsize(file.name)
        print(f"{count} scored traces, {size / 1e6:.0f} MB; best of {RUNS} runs")
        print(f"{'':20} {'clock s':>8} {'cpu s':>8} {'speed':>6} {'most MB':>8}")
        # By turns: what else the machine does falls on all of them.
        rounds = [[run(way, file.name) for way in WAYS.values()] for _ in range(RUNS)]
    base = min(turn[0][1] for turn in rounds)
    for name, runs in zip(WAYS, zip(*rounds, strict=True), strict=True):
        clock, cpu, memory = (min(column) for column in zip(*runs, strict=True))
        print(f"{name:20} {clock:8.2f} {cpu:8.2f} {base / cpu:6.2f} {memory:8.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS)
