"""Hierarchical node compression: a labelled trace again, with two steps in a row as one.

Wang et al., HRM, arXiv:2503.13551: training rows in which neighbouring steps are merged let a
reward model see steps of different size, and an error that the next step corrects. Their trees
merge a node with its parent at random and then count anew without it, which they call controlled
noise; here every number is kept: a merged step leads to the state that its second half led to, so
it has that half's value and counts, and its progress is the sum of the two, without an interval:
those of the halves share the value between them. What is known of a step by itself in another way
(a judge's score, a test) is not known of two, and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepkit import schema
from stepkit.core import trace
from stepkit.schema import Json
from stepkit.seeds import digest

DERIVED = ("tree", "scores", "split", "choice")
"""Fields of a trace that say nothing about its merged twin."""

BOUNDS = frozenset({"low", "high"})
"""Columns of the interval."""

WHOLE_TRACE = ("scan",)
"""Labels of states that depend on how far the first error is."""


def steps_to_merge(record: Json, most: int) -> list[int]:
    """Up to ``most`` steps to merge with the one that follows, ascending.

    Both must be the model's own. The choice is a hash of the record's id: the same in every run.
    """
    steps = schema.steps(record)
    own = trace.assistant_steps(record, len(steps))
    pairs = [step for step in range(len(steps) - 1) if own[step] and own[step + 1]]
    name = schema.id_of(record)
    return sorted(sorted(pairs, key=lambda step: digest("merge", name, step))[:most])


def merge_steps(record: Json, labels: Json, step: int) -> Json:
    """The fields to give a copy of ``record`` in which ``step`` and the next one are one step."""
    steps = schema.steps(record)
    fields: Json = {
        "id": f"{schema.id_of(record)}/m{step}",
        "steps": [*steps[:step], steps[step] + steps[step + 1], *steps[step + 2 :]],
        "labels": {
            name: entry
            for name, label in labels.items()
            if (entry := _entry(name, label, step, len(steps))) is not None
        },
        "origin": {"id": schema.id_of(record), "step": step, "merged": 2},
    }
    if record.get("role") is not None:
        fields["role"] = _without(record["role"], step)
    return fields


def _entry(name: str, label: Json, step: int, count: int) -> Json | None:
    """A label of the merged trace; None for one that cannot be carried over."""
    found = dict(label)
    if "first" in label and label["first"] is not None:
        first = label["first"]
        found["first"] = first - (first > step)
    if label.get("meta", {}).get("rule"):
        return {key: value for key, value in found.items() if key != "x"}
    kind = label["meta"].get("label", name)
    if kind in WHOLE_TRACE or (label["of"] != "value" and kind != "progress"):
        return None
    for column, numbers in label.items():
        if isinstance(numbers, list) and len(numbers) == count:
            found[column] = _without(numbers, step)
    if kind == "progress":
        halves = label["x"][step], label["x"][step + 1]
        found["x"][step] = None if None in halves else sum(halves)
        for bound in BOUNDS & found.keys():
            found[bound][step] = None
    return found


def _without(column: Sequence[Any], step: int) -> list[Any]:
    return [*column[:step], *column[step + 1 :]]
