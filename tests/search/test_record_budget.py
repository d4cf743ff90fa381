"""Budgets of one record."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepkit.search.record_budget import RecordSpending


def test_without_limits_there_is_always_more() -> None:
    assert RecordSpending(10**9, 10**9).within({})(10**9)


@given(st.integers(1, 50), st.integers(0, 60), st.integers(1, 20))
def test_draws_are_not_exceeded(most: int, drawn: int, count: int) -> None:
    assert RecordSpending(draws=drawn).within({"most_draws": most})(count) == (
        drawn + count <= most
    )


@given(st.integers(1, 50), st.integers(0, 60))
def test_tokens_end_with_the_round_that_reaches_them(most: int, spent: int) -> None:
    assert RecordSpending(tokens=spent).within({"most_tokens": most})() == (spent < most)


def test_seconds_count_from_the_first_question() -> None:
    now = [100.0]
    left = RecordSpending().within({"most_seconds": 3.0}, clock=lambda: now[0])
    now[0] = 500.0  # a record may wait long before it begins
    assert left()
    now[0] = 502.9
    assert left()
    now[0] = 503.0
    assert not left()
