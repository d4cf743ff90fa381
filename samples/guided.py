"""Print the table of the experiment: ways to spend the same tokens on a problem.

    python samples/guided.py FOLDER PROBLEMS

FOLDER is filled by `make experiment`: METHOD.jsonl has the draws of a method, METHOD.RULE.jsonl the
attempt that step-rerank chose from them for each problem. A problem without one counts as wrong.
Intervals are 95 % bootstrap intervals over problems; differences are paired by problem.

A step of a search ends where the next one begins, so it costs one token more than it has; an
attempt costs its tokens. What a verifier reads is not generated and not counted.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from evaluate import interval

ROWS = (
    ("majority of 17", "sample", "majority"),
    ("best of 17", "sample", "best"),
    ("weighted vote of 17", "sample", "weighted"),
    ("beam 4 x 4, best", "beam", "best"),
    ("beam 4 x 4, weighted vote", "beam", "weighted"),
    ("dvts 4 x 4, best", "dvts", "best"),
    ("dvts 4 x 4, weighted vote", "dvts", "weighted"),
    ("particle 16, best", "particle", "best"),
    ("particle 16, weighted vote", "particle", "weighted"),
    ("7 and refinement, best", "refined", "best"),
    ("7 and refinement, weighted", "refined", "weighted"),
)


def lines(path: Path) -> Iterator[dict]:
    """The records of a file."""
    with open(path) as file:
        yield from map(json.loads, file)


def tokens(record: dict) -> int:
    """How many tokens were generated for a record."""
    if "tree" not in record:
        return record["sample"]["tokens"]
    tree = record["tree"]
    drawn = zip(tree["by"], tree["finish"], tree["tokens"], strict=True)
    return sum(count + (not finish) for by, finish, count in drawn if by >= 0)


def cost(folder: Path, method: str) -> int:
    """Tokens generated for all problems, with those of a refinement's first attempts."""
    total = sum(tokens(record) for record in lines(folder / f"{method}.jsonl") if fresh(record))
    return total + (cost(folder, "first") if method == "refined" else 0)


def fresh(record: dict) -> bool:
    """Whether a record was drawn: a refinement passes right attempts through."""
    return "labels" not in record


def row(name: str, values: list[float], bases: list[list[float]], spent: float) -> str:
    """A line of the table."""
    low, high = interval(values)
    text = f"{name:<27}{spent:6.0f}  {share(values):5.1f} [{100 * low:4.1f}, {100 * high:4.1f}]"
    for base in bases:
        gains = [value - before for value, before in zip(values, base, strict=True)]
        low, high = interval(gains)
        text += f"  {share(gains):+5.1f} [{100 * low:+5.1f}, {100 * high:+5.1f}]"
    return text


def share(values: list[float]) -> float:
    """Mean in percent."""
    return 100 * sum(values) / len(values)


def main(folder: str, problems: str) -> None:
    """Print it."""
    texts = [record["problem"] for record in lines(Path(problems))]
    right: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for attempt in lines(Path(folder, "sample.jsonl")):
        right[attempt["problem"]] += attempt["correct"] is True
        count[attempt["problem"]] += 1
    one = [right[text] / count[text] for text in texts]
    columns = {}
    for _, method, rule in ROWS:
        found: dict[str, bool] = {}
        for chosen in lines(Path(folder, f"{method}.{rule}.jsonl")):
            found[chosen["problem"]] = chosen["correct"] is True
        columns[method, rule] = [float(found.get(text, False)) for text in texts]
    print(
        f"{len(texts)} test problems; % right with 95 % intervals, paired differences in points\n"
    )
    print(f"{'':<27}{'tokens':>6}  {'right':<20}{'against one attempt':<23}against best of 17")
    spent = cost(Path(folder), "sample") / len(texts)
    print(row("one attempt", one, [], spent / max(count.values())))
    for name, method, rule in ROWS:
        bases = [one, columns["sample", "best"]][: 1 + (method != "sample")]
        used = cost(Path(folder), method) / len(texts)
        print(row(name, columns[method, rule], bases, used))


if __name__ == "__main__":
    main(*sys.argv[1:])
