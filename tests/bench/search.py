"""First errors of wrong attempts: found by searches, against the exact ones, and what they cost.

    python tests/bench/search.py [ATTEMPTS [DRAWS]]

One wrong attempt at each of some problems of the sample world (samples/world.py), by the sample
policy. The exact first error is the first step whose result (the number that the next steps go on
from) is not the solution's. Prints for every way to search the share of attempts in which the label
agrees with it, and the tokens drawn, also as a share of those that exhaustive chain labelling takes
with as many draws at most from each prefix.

The model makes up for errors now and then, by a second one: there "no right draw" comes late.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "samples"), str(ROOT)]

import world  # noqa: E402

POLICY = ("-m", str(ROOT / "samples" / "models" / "policy.gguf"), "--max-tokens", "128", "-q")
WAYS = (
    ("chain", (), ("zero", "posterior")),
    ("chain, first success", ("--until", "first-success"), ("zero",)),
    ("bisect", ("--method", "bisect"), ("tested", "posterior")),
    ("bisect, drop", ("--method", "bisect", "--until", "drop:root=24"), ("posterior",)),
    ("bisect, posterior", ("--method", "bisect", "--until", "posterior"), ("posterior",)),
)


def result(step: str) -> str:
    """The number that a step comes to; "" where it says none."""
    kept = re.search(r"of (\d+) (?:stays|is new)", step)
    numbers = re.findall(r"\d+", step)
    return kept[1] if kept else numbers[-1] if numbers else ""


def first_error(steps: list[str], solution: str) -> int | None:
    """The first step with another result than the solution's, or None."""
    right = [result(step) for step in solution.split("\n")]
    for place, step in enumerate(steps):
        if place >= len(right) or result(step) != right[place]:
            return place
    return None


def command(*args: str, folder: Path) -> bytes:
    environment_path = str(Path(sys.executable).parent)
    return subprocess.run(
        [f"{environment_path}/{args[0]}", *args[1:]], cwd=folder, check=True, capture_output=True
    ).stdout


def wrong_attempts(count: int, folder: Path) -> list[dict[str, Any]]:
    """One wrong attempt at each of ``count`` problems, with its exact first error."""
    problems = [
        {"id": f"b{n}", "problem": p.problem, "answer": p.answer, "solution": p.solution}
        for n, p in zip(range(3 * count), world.problems("test", seed=9), strict=False)
    ]
    (folder / "problems.jsonl").write_text("".join(json.dumps(p) + "\n" for p in problems))
    sampled = command(
        "step-rollout", "problems.jsonl", *POLICY, "--method", "sample", "-k", "4", folder=folder
    )
    (folder / "sampled.jsonl").write_bytes(sampled)
    found: dict[str, dict[str, Any]] = {}
    for line in command("step-split", "sampled.jsonl", folder=folder).splitlines():
        trace = json.loads(line)
        exact = first_error(trace["steps"], trace["solution"])
        if trace["correct"] is False and exact is not None and trace["group"] not in found:
            found[trace["group"]] = trace | {"exact": exact}
    return [*found.values()][:count]


def tokens(trace: dict[str, Any]) -> int:
    tree = trace["tree"]
    drawn = zip(tree["tokens"], tree["whole"], tree["by"], strict=True)
    return sum(length for length, whole, by in drawn if whole and by >= 0)


def agreement(labelled: bytes) -> float:
    traces = [json.loads(line) for line in labelled.splitlines()]
    hits = [trace["labels"]["first"]["first"] == trace["exact"] for trace in traces]
    return sum(hits) / len(hits)


def main() -> None:
    given = [int(argument) for argument in sys.argv[1:]]
    count, draws = [*given, *(200, 32)[len(given) :]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        traces = wrong_attempts(count, folder)
        (folder / "wrong.jsonl").write_text("".join(json.dumps(t) + "\n" for t in traces))
        out = sys.stdout
        out.write(f"{len(traces)} wrong attempts, at most {draws} draws from a prefix\n\n")
        out.write(f"{'search':<22}{'label':<11}{'agrees':>8}{'tokens':>9}{'of chain':>10}\n")
        chain = 0
        for way, args, rules in WAYS:
            command(
                "step-rollout", "wrong.jsonl", *POLICY, "-k", str(draws), *args,
                "-o", "evidence.jsonl", folder=folder,
            )  # fmt: skip
            lines = (folder / "evidence.jsonl").read_text().splitlines()
            spent = sum(tokens(json.loads(line)) for line in lines)
            chain = chain or spent
            for rule in rules:
                labelled = command(
                    "step-label", "--label", "hard", "--first", rule, "evidence.jsonl",
                    folder=folder,
                )  # fmt: skip
                share = agreement(labelled)
                out.write(f"{way:<22}{rule:<11}{share:>8.1%}{spent:>9,}{spent / chain:>10.0%}\n")
                out.flush()


if __name__ == "__main__":
    main()
