"""Measures of a distribution folded over tokens, whatever the numbers mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.core.confidence import MEASURES, measure_steps, token_spans

values = st.lists(st.floats(-20, 0), min_size=1, max_size=40)


@given(values, st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 50))
def test_groups_bound_each_other(numbers: list[float], sizes: list[int], group: int) -> None:
    ends = np.minimum(np.cumsum(sizes), len(numbers)).tolist()
    of = list(zip([0, *ends[:-1]], ends, strict=True))
    found = {by: measure_steps(MEASURES[by], numbers, of, group) for by in MEASURES}
    lowest, bottom, tail = (found[by] for by in ("lowest-group", "bottom-group", "tail"))
    for low, mean, last in zip(*(one[0] for one in (lowest, bottom, tail)), strict=True):
        assert (low is None) == (mean is None) == (last is None)
        assert low is None or (low <= mean + 1e-9 and low <= last + 1e-9)
    for x, total in found.values():
        assert len(x) == len(sizes) and total is not None
        assert [one is None for one in x] == [a == b for a, b in of]


@given(values)
def test_a_text_shorter_than_a_group_is_one_group(numbers: list[float]) -> None:
    whole = -sum(numbers) / len(numbers)
    for by in ("lowest-group", "bottom-group", "tail"):
        _, total = measure_steps(MEASURES[by], numbers, [(0, len(numbers))], len(numbers) + 1)
        assert total == pytest.approx(whole)


def test_a_perplexity_beyond_all_bounds_is_a_number() -> None:
    x, total = measure_steps(MEASURES["perplexity"], [-1e6], [(0, 1)])
    assert x == [total] and math.isfinite(x[0] or math.inf)


def test_a_token_belongs_to_the_step_with_its_first_byte() -> None:
    assert token_spans(["\u00e4b", "", "c"], [0, 1, 2, 3]) == [(0, 3), (3, 3), (3, 4)]
    assert token_spans(["ab", "cd"], []) == [(0, 0), (0, 0)]
    assert measure_steps(MEASURES["tail"], [], [(0, 0), (0, 0)]) == ([None, None], None)
