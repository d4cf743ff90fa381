"""What several methods read from a trace: whose step is whose, scores, labels, samplers.

Only reads and checks; raises DataError naming the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepkit import schema
from stepkit.core import tree as trees
from stepkit.errors import DataError
from stepkit.schema import Json

MOST_DRAWS = 2**62
"""Draw numbers fit the kernels' integers."""


def assistant_steps(record: Json, count: int) -> list[bool]:
    """For each of ``count`` steps: is it the model's own? (All are when there is no ``role``.)"""
    role = record.get("role")
    if role is None:
        return [True] * count
    if not isinstance(role, list):
        raise DataError(f"expected a list, got {schema.name_of(role)}", "role")
    if len(role) != count:
        raise DataError(f"{len(role)} entries, but there are {count} steps", "role")
    return [who == "assistant" for who in role]


def named(record: Json, key: str, name: str | None, option: str) -> tuple[str, Json]:
    """The entry ``name`` of ``scores`` or ``labels``, or the only one when ``name`` is None.

    Args:
        key: "scores" or "labels".
        option: what to write on the command line to choose one, for the message.
    """
    entries = record.get(key)
    if entries is None:
        entries = {}
    if not isinstance(entries, dict):
        raise DataError(f"expected an object, got {schema.name_of(entries)}", key)
    if name is None:
        if len(entries) != 1:
            why = f"choose one with {option}" if entries else "run step-score first"
            raise DataError(f"{key} here: {_listed(entries)}; {why}", key)
        (name,) = entries
    if name not in entries:
        raise DataError(f"missing; {key} here: {_listed(entries)}", f"{key}.{name}")
    entry = entries[name]
    if not isinstance(entry, dict):
        raise DataError(f"expected an object, got {schema.name_of(entry)}", f"{key}.{name}")
    return name, entry


def _listed(entries: Json) -> str:
    return ", ".join(sorted(entries)) or "none"


def step_numbers(entry: Json, count: int, field: str, what: str = "steps") -> list[float | None]:
    """The ``x`` of a score or label: one number or null per step (or other ``what``)."""
    return numbers(entry.get("x"), count, f"{field}.x", what)


def numbers(x: Any, count: int, field: str, what: str = "steps") -> list[float | None]:
    """A column of an entry, checked like ``step_numbers``."""
    if not isinstance(x, list):
        raise DataError(f"expected a list, got {schema.name_of(x)}", field)
    if len(x) != count:
        raise DataError(f"{len(x)} entries, but there are {count} {what}", field)
    for step, value in enumerate(x):
        if value is not None and not schema.is_number(value):
            raise DataError(
                f"expected a number or null, got {schema.name_of(value)}", f"{field}[{step}]"
            )
    return x


def first_of(entry: Json, count: int, field: str) -> int | None:
    """The ``first`` of a score or label: a step, -1 for no error, None for unknown.

    Args:
        count: how many steps there are.
        field: path of the entry, for the message.
    """
    first = entry.get("first")
    if first is not None and (type(first) is not int or not -1 <= first < count):
        raise DataError(f"expected a step (0 .. {count - 1}), -1 or null", f"{field}.first")
    return first


def node_scores(tree: Json) -> dict[str, Json]:
    """The entries of ``tree.scores``, each with one number or null per node. Raises DataError."""
    entries = tree.get("scores") or {}
    if not isinstance(entries, dict):
        raise DataError(f"expected an object, got {schema.name_of(entries)}", "tree.scores")
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise DataError(
                f"expected an object, got {schema.name_of(entry)}", f"tree.scores.{name}"
            )
        step_numbers(entry, len(tree["parent"]), f"tree.scores.{name}", "nodes")
    return entries


def spine_tree(record: Json, steps: Sequence[str]) -> Json:
    """The record's checked tree, whose spine must be the record's steps. DataError without one."""
    tree = schema.check_tree(record)
    if tree is None:
        raise DataError('no "tree": run step-rollout --method chain first')
    spine = tree.get("spine", [])
    if len(spine) != len(steps):
        raise DataError(f"{len(spine)} nodes, but there are {len(steps)} steps", "tree.spine")
    for step, node in enumerate(spine):
        if tree["text"][node] != steps[step]:
            raise DataError(f"node {node} is not the text of steps[{step}]", f"tree.spine[{step}]")
    if max(tree["draw"]) > MOST_DRAWS:
        raise DataError(f"a number of a draw above {MOST_DRAWS}", "tree.draw")
    return tree


def choose_sampler(tree: Mapping[str, Any], wanted: str | None) -> tuple[int, str]:
    """Index and id of the sampler whose draws count; (-1, "") when nothing was drawn.

    Args:
        wanted: a sampler's ``id`` or index; None takes the only one that drew continuations or,
            in a tree grown step by step, anything.
    """
    ids = []
    for index, sampler in enumerate(tree.get("samplers", [])):
        if not isinstance(sampler, dict) or not isinstance(sampler.get("id"), str):
            raise DataError('expected an object with an "id"', f"tree.samplers[{index}]")
        ids.append(sampler["id"])
    listed = ", ".join(f"{index} ({name})" for index, name in enumerate(ids)) or "none"
    if wanted is None:
        drew = trees.drawing_samplers(tree) or sorted(set(tree["by"]) - {schema.UNDRAWN})
        if len(drew) > 1:
            raise DataError(
                f"{len(drew)} samplers drew here: {listed}; choose one with --sampler",
                "tree.samplers",
            )
        return (drew[0], ids[drew[0]]) if drew else (schema.UNDRAWN, "")
    if wanted in ids:
        return ids.index(wanted), wanted
    if wanted.isdecimal() and int(wanted) < len(ids):
        return int(wanted), ids[int(wanted)]
    raise DataError(f'no sampler "{wanted}"; samplers here: {listed}', "tree.samplers")


def verdict(record: Json, tree: Mapping[str, Any]) -> tuple[float | None, str]:
    """How the trace itself ended: (outcome or None when undecided, finish).

    Read at the last spine node; a verdict given later (``correct``) fills in a missing one.
    """
    spine = tree.get("spine", [])
    outcome = tree["outcome"][spine[-1]] if spine else None
    finish = tree["finish"][spine[-1]] if spine else ""
    return (schema.correct_of(record) if outcome is None else float(outcome)), finish
