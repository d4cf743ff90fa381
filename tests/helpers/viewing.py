"""Traces to look at: one with everything that a page shows, and texts that try to break it."""

from __future__ import annotations

import json
from typing import Any

from stepkit.core import tree as trees

STEPS = ["6 * 7 = 42.\n", "42 - 2 = 41.\n", "41 + 1 = 42.\n", "So 42."]

DRAWS: list[list[tuple[str, float | None, str]]] = [
    [
        ("6 * 7 = 42.\n42 - 2 = 40.\n40 + 1 = 41.\nSo 41.", 1.0, "stop"),
        ("6 * 7 = 42.\n42 - 2 = 40.\n40 + 1 = 41.\nSo 41.", 1.0, "stop"),
        ("6 * 7 = 48.\nSo 47.", 0.0, "stop"),
        ("Let us see.\nAnd then", None, "length"),
    ],
    [
        ("42 - 2 = 40.\n40 + 1 = 41.\nSo 41.", 1.0, "stop"),
        ("42 - 2 = 41.\nSo 42.", 0.0, "stop"),
        ("42 - 2 = 40.\nSo 41.", 1.0, "stop"),
        ("2 is taken away, or", None, "length"),
        ("42 - 2 = 40.\n40 + 1 = 41.\nSo 41.", 1.0, "stop"),
    ],
    [("41 + 1 = 42.\nSo 42.", 0.0, "stop")] * 4,
    [],
]
"""(text, verdict, ending) of the draws from the root and after each step; none after the third."""


def evidence() -> dict[str, Any]:
    """A trace and its draws, unlabelled: 2 of 3 right at the root, then 3 of 4, then 0 of 4."""
    tree = trees.from_steps(STEPS)
    by = trees.sampler_index(tree, {"id": "5a", "name": "small.gguf", "temperature": 0.7})
    for prefix, draws in zip([0, *tree["spine"]], DRAWS, strict=False):
        for number, (text, outcome, finish) in enumerate(draws):
            final = None if outcome is None else text.split()[-1].rstrip(".")
            trees.add(
                tree, prefix, text, whole=True, finish=finish, outcome=outcome, final=final,
                by=by, draw=number,
            )  # fmt: skip
    end = tree["spine"][-1]
    tree["finish"][end], tree["outcome"][end], tree["final"][end] = "stop", 0.0, "42"
    return {
        "id": "a/0",
        "group": "a",
        "problem": "What is one more than 6 * 7 - 2?",
        "answer": "41",
        "response": "".join(STEPS),
        "steps": STEPS,
        "split": {"by": "lines"},
        "final": "42",
        "correct": False,
        "tree": tree,
        "stepkit": 1,
    }


def labelled() -> dict[str, Any]:
    """The same with labels of several kinds, gold among them, and a score."""
    gold = {"of": "validity", "by": "human", "x": [1, 0, None, None], "first": 1}
    value = {
        "of": "value", "by": "sampler",
        "x": [0.75, 0.0, None, 0.0], "k": [3, 0, 0, 0], "n": [4, 4, 0, 1],
        "undecided": [1, 0, 0, 0],
        "low": [0.3006, 0.0, None, 0.0], "high": [0.9544, 0.4899, None, 0.0],
        "root": {"x": 2 / 3, "k": 2, "n": 3, "undecided": 1, "low": 0.2077, "high": 0.9385},
    }  # fmt: skip
    progress = {"of": "progress", "by": "sampler", "x": [0.0833, -0.75, None, None]}
    score = {
        "of": "validity", "by": "scorer", "x": [0.9, 0.2, 0.4, 0.3],
        "why": [None, "2 was taken away wrongly", None, None],
    }  # fmt: skip
    labels = {"value": value, "progress": progress, "first": {"first": 1}, "gold": gold}
    return evidence() | {"labels": labels, "scores": {"judge": score}}


def searched() -> dict[str, Any]:
    """A bare problem with a search tree: a -> no; b (drawn twice) -> c -> end, a draw and a view
    of it, one without a verdict, a failed one and a wrong one."""
    tree = trees.from_steps([])
    by = trees.sampler_index(tree, {"id": "s", "name": "policy"})

    def add(parent: int, text: str, draw: int, **more: Any) -> int:
        about: dict[str, Any] = {"whole": False, "finish": "", "by": by, "draw": draw} | more
        return trees.add(tree, parent, text, **about)

    a = add(0, "a\n", 0)
    add(a, "no", 0, finish="stop", outcome=0.0, final="3")
    b, again = add(0, "b\n", 1), add(0, "b\n", 2)
    c = add(again, "c\n", 0)
    add(c, "end", 0, finish="stop", outcome=1.0, final="4")
    draw = add(c, "d\nend", 1, whole=True, finish="stop", outcome=1.0, final="4")
    view = add(c, "d\n", 1, cut=draw)
    add(view, "end", 1, finish="stop", outcome=1.0, cut=draw)
    add(b, "?", 2, whole=True, finish="stop")
    add(b, "", 3, whole=True, finish="error")
    add(b, "x", 4, finish="stop", outcome=0.0, final="5")
    x = [None, 0.8, 0.1, 0.2, 0.2, 0.7, 0.9, None, None, None, None, None, 0.3]
    tree["scores"] = {"prm": {"of": "validity", "by": "scorer", "x": x}}
    return {"id": "searched", "problem": "2 + 2?", "answer": "4", "tree": tree} | {
        "split": {"by": "lines"}
    }


def plain(number: int, correct: bool | None, word: str = "") -> dict[str, Any]:
    """A trace without evidence, in a group of its own."""
    steps = [f"Take {number}. {word}\n", f"So {number}."]
    return {
        "id": f"t{number}",
        "group": f"g{number}",
        "problem": f"Which number follows {number - 1}?",
        "answer": str(number),
        "response": "".join(steps),
        "steps": steps,
        "final": str(number),
        "correct": correct,
    }


HOSTILE = (
    "</script><script>window.broken = 1</script>",
    "<!-- <script> -->",
    '<img src="x" onerror="window.broken = 2"><svg onload="window.broken = 3">',
    "]]> &lt; &amp; &#60;b&#62; <b>bold</b> <style>*{display:none}</style>",
    '"; window.broken = 4; //\\u003c \\x3c \\',
    "javascript:window.broken=5 {{x}} ${window.broken = 6} @script@ @settings@",
    "line\u2028separator\u2029paragraph\x85next",
    "price \u202etxt.exe\u202c \u2066isolated\u2069 \u200bzero\ufeff",
    "null\x00bell\x07escape\x1b[2J\x1b]0;title\x07delete\x7f",
    "\U0001f600 e\u0301 \u4e2d\u6587 \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
)
"""Texts that would leave a string, a script, a comment or an attribute, or that deceive the eye."""


def hostile() -> dict[str, Any]:
    """A trace that has them everywhere."""
    steps = [f"{text}\n" for text in HOSTILE]
    everything = " ".join(HOSTILE)
    record = evidence()
    tree = trees.from_steps(steps)
    by = trees.sampler_index(tree, {"id": HOSTILE[0], "name": everything})
    trees.add(
        tree, 0, everything, whole=True, finish="stop", outcome=1.0, final=HOSTILE[2], by=by, draw=0
    )
    score = {"of": "value", "by": "scorer", "x": [0.5] * len(steps), "why": list(HOSTILE)}
    return record | {
        "id": everything,
        "group": everything,
        "problem": everything,
        "answer": HOSTILE[0],
        "final": HOSTILE[2],
        "response": "".join(steps),
        "steps": steps,
        "tree": tree,
        "role": ["assistant"] * (len(steps) - 1) + [HOSTILE[2]],
        "scores": {HOSTILE[0]: score},
        "labels": {HOSTILE[2]: {"first": 1}},
        HOSTILE[1]: HOSTILE[0],
    }


def lines(*records: dict[str, Any]) -> str:
    """Records as JSON lines."""
    return "".join(json.dumps(record) + "\n" for record in records)
