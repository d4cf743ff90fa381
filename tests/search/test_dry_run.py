"""What --dry-run answers in a model's place has the shape of a model's answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stepkit.model.engine import Branch, Read
from stepkit.search.dry_run import SimulatedRecord
from stepkit.search.scheduler import Strategy

BRANCHES = (Branch(1, (7,)), Branch(2, (7, 8, 9), (0, 2)))


@pytest.mark.parametrize(
    ("what", "width"),
    [({}, 1), ({"candidates": (3, 4)}, 2), ({"head": SimpleNamespace(outputs=3)}, 3)],
)
def test_a_read_is_answered_at_its_positions_and_behind_its_branches(
    what: dict[str, Any], width: int
) -> None:
    given: list[Any] = []

    def strategy() -> Strategy:
        given.extend((yield [Read("r", (1, 2, 3), (0, 1), branches=BRANCHES, **what)]))

    SimulatedRecord({"problem": "p"}, None, 0).run(strategy())
    (readout,) = given
    assert [len(row) for row in readout.values] == [width] * (2 + 1 + 2)
