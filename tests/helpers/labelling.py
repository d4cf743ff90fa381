"""Records with evidence at chosen states, and the labels made of them."""

from __future__ import annotations

from typing import Any

from stepkit.core import labels
from stepkit.core import tree as trees
from stepkit.core.labels import LabelSettings
from stepkit.errors import DataError
from stepkit.schema import Json

Draws = dict[int, list[float | None]]


def trace(
    steps: list[str], draws: Draws, verdict: float | None = 1.0, finish: str = "stop", **more: Any
) -> Json:
    """A record as step-rollout --method chain writes it.

    Args:
        draws: outcomes of the draws made at a state (0 is the root, t + 1 after step t).
    """
    tree = trees.from_steps(steps)
    trees.sampler_index(tree, {"id": "aa", "purpose": "value"})
    if steps:
        tree["finish"][tree["spine"][-1]] = finish
        tree["outcome"][tree["spine"][-1]] = verdict
    for state, outcomes in draws.items():
        for number, outcome in enumerate(outcomes):
            trees.add(
                tree, state, "…", whole=True, finish="stop", outcome=outcome, by=0, draw=number
            )
    response = "".join(steps)
    return {"problem": "p", "response": response, "steps": steps, "tree": tree, **more}


def one(record: Json, *names: str, **settings: Any) -> Json:
    wanted = labels.parse_all(names) if names else None
    (result,) = labels.label([record], LabelSettings(wanted, **settings))
    assert isinstance(result, dict), result
    return result


def error(record: Json, *names: str, **settings: Any) -> str:
    wanted = labels.parse_all(names) if names else None
    (result,) = labels.label([record], LabelSettings(wanted, **settings))
    assert isinstance(result, DataError), result
    return str(result)
