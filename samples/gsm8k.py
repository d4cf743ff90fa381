"""Print what `make gsm8k` found: attempts, how they ended, first errors and pairs.

    python samples/gsm8k.py FOLDER

FOLDER is filled by `make gsm8k`: attempts.jsonl has the attempts of the model, labels.jsonl those
that continuations were drawn from at every prefix, pairs.jsonl the rows made of them. The shares
are of all attempts; the intervals of the votes are in the table of step-eval.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path


def lines(path: Path) -> Iterator[dict]:
    """The records of a file."""
    with open(path) as file:
        yield from map(json.loads, file)


def report(folder: Path) -> Iterator[str]:
    """The lines of the report."""
    yield from _attempts(list(lines(folder / "attempts.jsonl")), _seconds(folder / "attempts"))
    yield from _steps(list(lines(folder / "labels.jsonl")), _seconds(folder / "evidence"))
    yield f"pairs: {sum(1 for _ in lines(folder / 'pairs.jsonl'))}"


def _seconds(stem: Path) -> int:
    """How long the draws took: a number for each time that they were started."""
    return sum(map(int, stem.with_suffix(".seconds").read_text().split()))


def _attempts(attempts: list[dict], seconds: int) -> Iterator[str]:
    problems = {attempt["group"] for attempt in attempts}
    tokens = sum(attempt["sample"]["tokens"] for attempt in attempts)
    yield (
        f"attempts: {len(attempts)} at {len(problems)} problems, {tokens} tokens"
        f" ({tokens / len(attempts):.0f} each), {_speed(tokens, seconds)}"
    )
    verdicts = Counter(attempt["correct"] for attempt in attempts)
    cut = sum(attempt["sample"]["finish"] == "length" for attempt in attempts)
    yield (
        f"verdicts: {verdicts[True]} right, {verdicts[False]} wrong,"
        f" {verdicts[None]} undecided ({cut} cut off by --max-tokens)"
    )


def _steps(labelled: list[dict], seconds: int) -> Iterator[str]:
    draws = tokens = 0
    for trace in labelled:
        drawn = [at for at, by in enumerate(trace["tree"]["by"]) if by >= 0]
        draws += len(drawn)
        tokens += sum(trace["tree"]["tokens"][at] for at in drawn)
    steps = [len(trace["steps"]) for trace in labelled]
    yield (
        f"continuations: {draws} from {sum(steps)} prefixes of {len(labelled)} attempts,"
        f" {tokens} tokens, {_speed(tokens, seconds)}"
    )
    wrong = [trace for trace in labelled if trace["correct"] is False]
    places = Counter(trace["labels"]["hard"]["first"] for trace in wrong)
    found = ", ".join(
        f"{place + 1}: {count}"
        for place, count in sorted(places.items(), key=_key)
        if _known(place)
    )
    unknown = sum(count for place, count in places.items() if not _known(place))
    yield (
        f"first errors of {len(wrong)} wrong attempts, by step:"
        f" {found or 'none'}; {unknown} unknown"
    )


def _known(place: int | None) -> bool:
    return place is not None and place >= 0


def _key(item: tuple[int | None, int]) -> int:
    return -1 if item[0] is None else item[0]


def _speed(tokens: int, seconds: int) -> str:
    return f"{seconds / 3600:.2f} h, {tokens / max(1, seconds):.0f} tokens/s"


if __name__ == "__main__":
    print("\n".join(report(Path(sys.argv[1]))))
