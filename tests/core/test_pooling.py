"""Pooled draws: which pass where, each counted once; unbiased on a world with known values."""

from __future__ import annotations

import random
from typing import Any

import pytest

from stepkit.core.pooling import PooledDraw, PooledTrace, pool
from stepkit.errors import DataError

LINES = {"by": "lines"}


def draws(prefix: str, *ended: tuple[str, float | None]) -> list[PooledDraw]:
    return [
        PooledDraw(prefix, number, text, outcome) for number, (text, outcome) in enumerate(ended)
    ]


def test_a_draw_counts_wherever_it_passes() -> None:
    made = [
        *draws("", ("a\nb\nc", 1.0), ("a\nx\nc", 0.0), ("y\nb\nc", 0.0), ("a\nb\nd", None)),
        *draws("a\n", ("b\ne", 1.0)),
    ]
    states = pool([PooledTrace(["a\n", "b\n", "z"], made, LINES)])
    assert list(states) == ["", "a\n", "a\nb\n"]
    assert [len(state.draws) for state in states.values()] == [4, 4, 3]
    assert [state.decided for state in states.values()] == [
        [1.0, 0.0, 0.0],
        [1.0, 0.0, 1.0],
        [1, 1],
    ]


def test_equal_characters_are_not_a_step_that_ended_there() -> None:
    """3 of 35: the draw goes on where the trace's step ended."""
    rule = {"by": "regex", "pattern": r"\. "}
    states = pool(
        [PooledTrace(["It is 3. ", "So 3."], draws("", ("It is 3. 5 say. No.", 0.0)), rule)]
    )
    assert len(states["It is 3. "].draws) == 1
    states = pool([PooledTrace(["x = 3", "\n3"], draws("", ("x = 35\n35", 0.0)), LINES)])
    assert states["x = 3"].draws == []


def test_a_split_that_is_no_rule_is_an_error_of_the_record() -> None:
    made: Any = PooledTrace(["a\n", "b"], draws("", ("a\nc", 1.0)), "lines")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="an object with the rule"):
        pool([made])


def test_the_end_of_a_draw_is_no_state_that_goes_on() -> None:
    states = pool([PooledTrace(["a\n", "b"], draws("", ("a\n", 1.0)), LINES)])
    assert states["a\n"].draws == []


def test_identical_prefixes_of_a_group_are_one_state_and_a_draw_counts_once() -> None:
    root = draws("", ("a\nb", 1.0), ("c\nd", 0.0))
    first = PooledTrace(["a\n", "x"], [*root, *draws("a\n", ("b", 1.0))], LINES)
    second = PooledTrace(["a\n", "y\n", "z"], [*root, *draws("a\n", ("b", 1.0), ("q", 0.0))], LINES)
    states = pool([first, second])
    assert len(states[""].draws) == 2
    assert states["a\n"].decided == [1.0, 1.0, 0.0]  # one from the root, two made there


def test_a_step_limit_counts_the_steps_before() -> None:
    rule = LINES | {"max_steps": 2}
    states = pool([PooledTrace(["a\n", "b\nc"], draws("", ("a\nb\nc", 1.0)), rule)])
    assert len(states["a\n"].draws) == 1
    states = pool([PooledTrace(["a\n", "b\nc", "d"], draws("a\n", ("b\nc\nd", 1.0)), rule)])
    assert states["a\nb\nc"].draws == []


def test_draws_that_nobody_can_cut_are_refused() -> None:
    with pytest.raises(DataError, match="step-split"):
        pool([PooledTrace(["a", "b"], draws("", ("ab", 1.0)), None)])
    assert pool([PooledTrace(["a", "b"], [], None)])["a"].decided == []


def world(rng: random.Random, counts: tuple[int, int, int]) -> list[PooledDraw]:
    """A step is a with chance 0.6, then b with chance 0.5; the end is right by where one is."""
    right = {"": 0.2, "a\n": 0.3, "a\nb\n": 0.9}
    step = {"": ("a\n", 0.6), "a\n": ("b\n", 0.5)}

    def go_on(state: str) -> str:
        text, place = "", state
        while place in step:
            letter, chance = step[place]
            if rng.random() >= chance:
                return f"{text}x\n" + ("r" if rng.random() < right[place] else "w")
            text, place = text + letter, place + letter
        return text + ("r" if rng.random() < right[place] else "w")

    made = []
    for state, count in zip(("", "a\n", "a\nb\n"), counts, strict=True):
        for number in range(count):
            text = go_on(state)
            made.append(PooledDraw(state, number, text, float(text.endswith("r"))))
    return made


TRUE = {"a\nb\n": 0.9, "a\n": 0.5 * 0.9 + 0.5 * 0.3}
TRUE[""] = 0.6 * TRUE["a\n"] + 0.4 * 0.2


@pytest.mark.parametrize("counts", [(4, 4, 4), (2, 8, 16)])
def test_both_estimates_are_unbiased_and_later_evidence_lowers_the_variance(
    counts: tuple[int, int, int],
) -> None:
    rng = random.Random(3)
    runs = 4000
    found: dict[str, list[tuple[float, float, float]]] = {state: [] for state in TRUE}
    for _ in range(runs):
        made = world(rng, counts)
        states = pool([PooledTrace(["a\n", "b\n", "z"], made, LINES)])
        for prefix, state in states.items():
            own = [draw.outcome for draw in made if draw.prefix == prefix]
            pooled = sum(state.decided) / len(state.decided)
            assert state.value is not None
            found[prefix].append((sum(own) / len(own), pooled, state.value))  # type: ignore[arg-type]
    for prefix, rows in found.items():
        columns = list(zip(*rows, strict=True))
        means = [sum(column) / runs for column in columns]
        variances = [
            sum((x - mean) ** 2 for x in column) / runs
            for column, mean in zip(columns, means, strict=True)
        ]
        for mean, variance in zip(means, variances, strict=True):
            assert mean == pytest.approx(TRUE[prefix], abs=4 * (variance / runs) ** 0.5)
        assert variances[1] <= variances[0] * 1.02
        if prefix != "a\nb\n":  # before that there is something later to learn from
            assert variances[2] < 0.97 * variances[1]


def test_the_improved_value_by_hand() -> None:
    made: list[Any] = [
        *draws("", ("a\nw", 0.0), ("x\nr", 1.0)),
        *draws("a\n", ("r", 1.0), ("r", 1.0), ("r", 1.0)),
    ]
    states = pool([PooledTrace(["a\n", "z"], made, LINES)])
    assert states["a\n"].value == 0.75
    assert states[""].value == (0.75 + 1.0) / 2  # the first draw counts with the value of a
