"""A trace that every command can use: steps, chain evidence, labels and scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from stepkit.core import tree as trees

STEPS = ["3 + 4 = 7.\n", "7 * 2 = 14.\n", "So 14."]
SIBLINGS = [
    ["3 + 4 = 7.\nThen 14.", "3 + 4 = 8.\nThen 16."],
    ["7 * 2 = 14.\n14.", "7 + 2 = 9.\n9."],
]


def trace(number: int) -> dict[str, Any]:
    """Trace ``number``, alone in its group: one right and one wrong draw from two prefixes."""
    evidence = trees.from_steps(STEPS)
    sampler = trees.sampler_index(evidence, {"id": "5a", "purpose": "value", "temperature": 1.0})
    for prefix, texts in zip([0, *evidence["spine"]], SIBLINGS, strict=False):
        for draw, text in enumerate(texts):
            trees.add(
                evidence,
                prefix,
                text,
                whole=True,
                finish="stop",
                outcome=float(draw == 0),
                final=text.split()[-1].rstrip("."),
                by=sampler,
                draw=draw,
                tokens=len(text),
            )
    last = evidence["spine"][-1]
    evidence["finish"][last] = "stop"
    evidence["outcome"][last] = 1.0
    evidence["final"][last] = "14"
    return {
        "id": f"t{number}",
        "group": f"g{number}",
        "problem": f"Problem {number}: double the sum of 3 and 4.",
        "answer": "14",
        "response": "".join(STEPS),
        "steps": STEPS,
        "split": {"by": "lines"},
        "final": "14",
        "correct": True,
        "tree": evidence,
        "scores": {"prm": {"of": "validity", "by": "scorer", "x": [0.9, 0.8, 0.7]}},
        "stepkit": 1,
    }


def lines(count: int, first: int = 1, **more: Any) -> bytes:
    """Traces as JSON lines, with a field that is not ours and that no parser keeps."""
    rows = []
    for number in range(first, first + count):
        text = json.dumps(trace(number) | more, ensure_ascii=False)
        rows.append(text[:-1] + ', "mine" : {"big":18446744073709551617,"p":1.10}}')
    return "".join(row + "\n" for row in rows).encode()


def bare(line: bytes) -> bytes:
    """The same lines as step-split takes them: no steps, no evidence."""
    kept = ("id", "group", "problem", "answer", "response")
    rows = []
    for one in line.splitlines():
        data = json.loads(one)
        mine = one[one.index(b', "mine"') :]
        rows.append(json.dumps({key: data[key] for key in kept}).encode()[:-1] + mine + b"\n")
    return b"".join(rows)


def broken(line: bytes) -> bytes:
    """Every few prefixes of a line, and the line with each value of it replaced by others."""
    lines = [line[:size] for size in range(1, len(line), 41)]
    data = json.loads(line)
    junk: list[Any] = [None, True, -1, 1e300, "", "x", [], [None], {}, {"parent": [-1]}, [[]]]

    def variants(value: Any, put: Callable[[Any], None]) -> None:
        for other in junk:
            put(other)
            lines.append(json.dumps(data).encode())
        put(value)
        if isinstance(value, dict):
            for key in list(value):
                variants(value[key], partial(value.__setitem__, key))
        elif isinstance(value, list) and value:
            variants(value[-1], partial(value.__setitem__, -1))

    for key in list(data):
        variants(data[key], partial(data.__setitem__, key))
        del data[key]
        lines.append(json.dumps(data).encode())
        data[key] = json.loads(line)[key]
    return b"\n".join(one.replace(b"\n", b"") for one in lines) + b"\n"
