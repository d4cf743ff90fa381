"""Consensus of several sources about the first error."""

from __future__ import annotations

import pytest

from stepkit.core.labels.consensus import POSITION, PRESENCE, UNKNOWN, compare, labels_up_to


@pytest.mark.parametrize(
    ("firsts", "first", "kind", "why"),
    [
        ({"hard": 2, "judge": 2}, 2, "", ""),
        ({"hard": -1, "judge": -1, "gold": -1}, -1, "", ""),
        ({"hard": 0, "judge": 0}, 0, "", ""),
        ({"hard": 2, "judge": 1}, None, POSITION, "hard: step 2, judge: step 1"),
        ({"hard": 2, "judge": -1}, None, PRESENCE, "hard: step 2, judge: no error"),
        ({"a": 2, "b": 2, "c": 3}, None, POSITION, "a: step 2, b: step 2, c: step 3"),
        ({"hard": None, "judge": 1}, None, UNKNOWN, "hard cannot tell"),
        ({"hard": None, "judge": None}, None, UNKNOWN, "hard and judge cannot tell"),
    ],
)
def test_agreement_and_its_lack(
    firsts: dict[str, int | None], first: int | None, kind: str, why: str
) -> None:
    assert compare(firsts) == (first, kind, why)


def test_labels_end_at_the_first_error() -> None:
    assert labels_up_to(2, 4) == [1, 1, 0, None]
    assert labels_up_to(-1, 2) == [1, 1]
    assert labels_up_to(0, 1) == [0]
    assert labels_up_to(None, 2) == [None, None]
    assert labels_up_to(-1, 0) == []
