"""First errors of real attempts: what searches find and cost, against exhaustive chains.

    FILE=attempts.jsonl MODEL=model.gguf [TRACES=3] [DRAWS=8] python tests/bench/real_search.py

FILE holds several attempts at each problem, graded, drawn by MODEL or a model like it. One wrong
attempt at each problem that others get right is labelled: by drawing from every prefix DRAWS times
(the exhaustive chain), and by searches that draw at most as often from a prefix. All ways draw the
same draws (a draw's seed is made of its prefix and number), each of which the model makes once, so
they differ only in which draws they ask for. No exact first error is known of real attempts: what
agrees is the label with that of the exhaustive chain, by the same rule; a label that only one of
the two gives is no agreement. A trace may have one of some steps before it or after it, so the mean
distance of the two is there, too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import stepkit
from stepkit import model_session
from stepkit.cli.actions.session import SessionWork
from stepkit.model.recorded_engine import RecordedEngine

TRACES, DRAWS = (int(os.environ.get(name, default)) for name, default in
                 (("TRACES", 3), ("DRAWS", 8)))  # fmt: skip
STEPS = range(4, 9)
LONGEST = 900  # characters of an attempt

WAYS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "chain": ({"method": "chain"}, ("zero", "posterior")),
    "chain, first success": ({"method": "chain", "until": "first-success"}, ("zero",)),
    "chain, posterior": ({"method": "chain", "until": "posterior"}, ("posterior",)),
    "bisect": ({"method": "bisect"}, ("tested", "posterior")),
    "bisect, posterior": ({"method": "bisect", "until": "posterior"}, ("posterior",)),
}


class Memory:
    """The draws made so far, for all ways: a journal (model/recorded_engine.py)."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def get(self, key: str) -> Any | None:
        return self._known.get(key)

    def put(self, key: str, value: Any) -> None:
        self._known[key] = value

    def refuse(self, key: str) -> None:
        raise RuntimeError(key)

    def report(self) -> None:
        pass


def remembering(run: Callable[..., Any], memory: Memory) -> Callable[..., Any]:
    def again(work: SessionWork, records: Iterable[dict[str, Any]]) -> Any:
        opened = work.open
        return run(replace(work, open=lambda: RecordedEngine(opened(), memory)), records)

    return again


def wrong_attempts(path: str) -> list[dict[str, Any]]:
    """A wrong attempt at each of the first problems that two others get right."""
    groups: dict[str, list[dict[str, Any]]] = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            attempt = json.loads(line)
            groups.setdefault(attempt["group"], []).append(attempt)
    found = []
    for group in groups.values():
        wrong = [one for one in group if one["correct"] is False and len(one["response"]) < LONGEST]
        cut = [one for one in stepkit.split(wrong) if len(one["steps"]) in STEPS]
        if cut and sum(one["correct"] is True for one in group) >= 2:
            found.append(min(cut, key=lambda one: len(one["response"])))
    return found[:TRACES]


def tokens(records: Iterable[dict[str, Any]]) -> int:
    """Tokens drawn."""
    return sum(
        size
        for record in records
        for size, draw in zip(record["tree"]["tokens"], record["tree"]["draw"], strict=True)
        if draw >= 0
    )


def first_errors(records: list[dict[str, Any]], rule: str) -> list[int | None]:
    labelled = stepkit.label(records, labels=["hard"], first=rule)
    return [record["labels"]["first"]["first"] for record in labelled]


def main() -> None:
    traces = wrong_attempts(os.environ["FILE"])
    system = traces[0]["sample"]["sampler"]["system"]
    model_session._run = remembering(model_session._run, Memory())
    print(f"{len(traces)} wrong attempts of {sum(len(t['steps']) for t in traces)} steps, at most "
          f"{DRAWS} draws from a prefix, {Path(os.environ['MODEL']).name}\n")  # fmt: skip
    print(f"{'search':21} {'label':10} {'agrees':>8} {'distance':>9} {'tokens':>8} {'of chain':>8}"
          "  first errors")  # fmt: skip
    exhaustive: dict[str, list[int | None]] = {}
    whole = 0
    with stepkit.open_model(os.environ["MODEL"], threads=int(os.environ.get("THREADS", 2))) as one:
        for name, (options, rules) in WAYS.items():
            found = one.rollout(traces, k=DRAWS, temperature=0.8, max_tokens=256, system=system,
                                **options)  # fmt: skip
            spent = tokens(found)
            whole = whole or spent
            for rule in rules:
                errors = first_errors(found, rule)
                truth = exhaustive.setdefault("zero" if rule == "tested" else rule, errors)
                same = sum(a == b for a, b in zip(errors, truth, strict=True))
                apart = [abs(a - b) for a, b in zip(errors, truth, strict=True)
                         if a is not None and b is not None]  # fmt: skip
                mean = sum(apart) / len(apart) if apart else float("nan")
                print(f"{name:21} {rule:10} {same:3} of {len(errors)} {mean:9.1f} {spent:8,}"
                      f" {spent / whole:8.0%}  {errors}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
