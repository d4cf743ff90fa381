"""Steps that were drawn at the same time, as the candidates that a search chooses among."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stepkit.search.rollout_tree import RolloutTree


def distinct(growth: RolloutTree, steps: Sequence[int]) -> list[int]:
    """The steps of different attempts so far, in the order given: of several with the same text up
    to here and the same end, the first."""
    finish = growth.tree["finish"]
    first: dict[tuple[str, str], int] = {}
    for step in steps:
        first.setdefault((growth.given(step), finish[step]), step)
    return list(first.values())


def alive(growth: RolloutTree, steps: Sequence[int]) -> list[int]:
    """The distinct steps, without those that were cut off."""
    finish = growth.tree["finish"]
    return [step for step in distinct(growth, steps) if finish[step] != "length"]


def ranked(steps: Sequence[int], values: Mapping[int, float]) -> list[int]:
    """By falling value; of equal ones the one drawn first."""
    return sorted(steps, key=lambda step: -values[step])
