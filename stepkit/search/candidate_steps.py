"""Steps that were drawn at the same time, as the candidates that a search chooses among."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stepkit.search.rollout_tree import RolloutTree


def distinct(rollouts: RolloutTree, steps: Sequence[int]) -> list[int]:
    """The steps that end different prefixes, in the order given: of several with the same text up
    to here and the same finish, the first."""
    finish = rollouts.tree["finish"]
    first: dict[tuple[str, str], int] = {}
    for step in steps:
        first.setdefault((rollouts.prefix_text(step), finish[step]), step)
    return list(first.values())


def alive(rollouts: RolloutTree, steps: Sequence[int]) -> list[int]:
    """The distinct steps, without those that were cut off."""
    finish = rollouts.tree["finish"]
    return [step for step in distinct(rollouts, steps) if finish[step] != "length"]


def ranked(steps: Sequence[int], values: Mapping[int, float]) -> list[int]:
    """The steps by falling value; of equal ones the one drawn first."""
    return sorted(steps, key=lambda step: -values[step])
