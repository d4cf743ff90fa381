"""What several methods read from a trace: whose step is whose, its tree, its samplers, its verdict.

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
