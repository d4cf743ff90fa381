"""The sizes follow what waits, the memory and the options; the limit follows the model alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.errors import UsageError
from stepkit.model.local.context_sizes import (
    MAX_SEQUENCES,
    ContextPlan,
    ContextSizes,
    Demand,
    for_drawing,
    for_reading,
    for_reading_like,
)
from stepkit.runner.options import ModelOptions

PLENTY = 1 << 40


@dataclass
class Facts:
    trained_context: int = 8192
    short_rope_context: int = 0


def plan(facts: Facts | None = None, tokens: int = 512, **options: int | bool) -> ContextPlan:
    return for_drawing(facts or Facts(), ModelOptions(None, threads=2, **options), tokens)  # type: ignore[arg-type]


def chosen(
    longest: int = 700,
    draws: int = 100,
    reads: int = 0,
    room: int = PLENTY,
    before: ContextSizes | None = None,
    **options: int | bool,
) -> ContextSizes:
    return plan(**options).sizes(Demand(longest, draws, reads), room, before)  # type: ignore[arg-type]


def test_the_context_is_the_longest_request_in_units_of_256() -> None:
    assert chosen(700) == ContextSizes(32, 16, 768, batch=512, outputs=64, threads=2)
    assert chosen(768).context == 768 and chosen(769).context == 1024
    assert chosen(3).context == 256
    assert chosen(100_000).context == 8192, "never longer than what ends a draw"


def test_slots_are_what_is_in_flight() -> None:
    assert [chosen(draws=n).slots for n in (1, 8, 9, 21, 32, 500)] == [8, 8, 12, 24, 32, 32]
    assert [chosen(draws=n).shelves for n in (1, 8, 9, 21, 32, 500)] == [4, 4, 6, 12, 16, 16]
    assert chosen(draws=0, reads=10).shelves == 10


def test_slots_are_what_half_of_the_free_memory_holds() -> None:
    # half of 40 sequences is 20: 16 slots, because 20 would leave no shelf, and 4 shelves
    assert (chosen(room=40 * 768).slots, chosen(room=40 * 768).shelves) == (16, 4)
    assert (chosen(room=50 * 768).slots, chosen(room=50 * 768).shelves) == (24, 1)
    assert (chosen(room=0).slots, chosen(room=0).shelves) == (8, 1)


def test_a_context_grows_by_half_at_least_where_there_is_room() -> None:
    before = chosen(1024)
    assert chosen(1030, before=before).context == 1536
    assert chosen(5000, before=before).context == 5120
    assert chosen(8000, before=chosen(7000)).context == 8192
    assert chosen(1030, before=before, room=2 * 9 * 1280).context == 1280
    assert chosen(500, before=before).context == 512, "nothing long is left"


def test_only_the_model_and_the_option_limit_a_draw() -> None:
    assert plan().limit == 8192
    assert plan(Facts(trained_context=1000)).limit == 1024
    assert plan(Facts(trained_context=32768), tokens=9000).limit == 32768
    assert plan(context=300).limit == 512
    assert plan(context=100_000).limit == 100_096
    assert plan(Facts(trained_context=0), tokens=3000).limit == 6144


def test_one_kind_of_rope_factors_a_run() -> None:
    """Up to 4,096 the short factors, whatever is chosen; above that the long ones."""
    facts = Facts(trained_context=131_072, short_rope_context=4096)
    short = plan(facts)
    assert (short.limit, short.rope) == (4096, "short")
    assert short.sizes(Demand(9000, 4), PLENTY).context == 4096
    for long in (plan(facts, context=8192), plan(facts, tokens=4096)):
        assert long.rope == "long" and long.limit >= 8192
        assert long.sizes(Demand(100, 4), PLENTY).context == 4352
    assert plan(facts, context=4000).rope == "short"
    assert (plan(facts, context=4097).limit, plan(facts, context=4097).rope) == (4352, "long")
    # llama.cpp rounds 300 tokens up to 512, which would have the long ones
    odd = plan(Facts(trained_context=2048, short_rope_context=300), tokens=10)
    assert (odd.limit, odd.rope) == (256, "short")


def test_options_win() -> None:
    given = chosen(slots=100, batch=4096, draws=1, room=0)
    assert (given.slots, given.batch) == (100, 4096)
    assert given.outputs >= given.sequences
    assert chosen(slots=255, fast=True).sequences == 256
    assert chosen(slots=255).slots == 252, "a multiple of 4"


@given(
    longest=st.integers(1, 20_000),
    draws=st.integers(0, 2000),
    reads=st.integers(0, 200),
    room=st.integers(0, 1 << 22),
    slots=st.none() | st.integers(8, 255),
    batch=st.none() | st.integers(1, 4096),
    fast=st.booleans(),
    before=st.none() | st.integers(1, 8192),
)
def test_any_sizes_hold_what_they_are_for(
    longest: int, draws: int, reads: int, room: int, slots: int | None, batch: int | None,
    fast: bool, before: int | None,
) -> None:  # fmt: skip
    options: dict[str, int | bool] = {"fast": fast}
    options |= {"slots": slots} if slots else {}
    options |= {"batch": batch} if batch else {}
    earlier = None if before is None else chosen(before)
    sizes = chosen(longest, draws, reads, room, earlier, **options)
    assert sizes.context >= min(longest, 8192) and not sizes.context % 256
    assert sizes.slots >= 8 and sizes.shelves >= 1 and sizes.sequences <= MAX_SEQUENCES
    assert sizes.batch >= sizes.outputs >= sizes.sequences
    assert fast or not sizes.slots % 4
    least = ((slots or 8) + 1) * -(-min(longest, 8192) // 256) * 256
    if slots is None and least <= room // 2:
        assert sizes.cells <= room // 2


def test_reading_holds_the_longest_trace() -> None:
    options = ModelOptions(None, threads=1)
    reading = for_reading(Facts(), options)
    assert reading.sizes(Demand(700, reads=9), PLENTY).cells == 768
    assert reading.sizes(Demand(700, reads=9), PLENTY).batch == 768
    assert reading.sizes(Demand(5000), PLENTY).batch == 2048
    assert for_reading_like(plan(slots=8)).sizes(Demand(700), PLENTY).slots == 63
    assert reading.wants(0, 100) == (63, 1)


def test_fast_is_not_exact_and_changes_no_size() -> None:
    assert chosen(fast=True) == dataclasses.replace(chosen(), exact=False)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UsageError, match="--context 1"):
        chosen(context=1)


def test_it_is_printed_in_words() -> None:
    assert str(plan()) == "layout: exact, up to 8192 tokens, threads 2"
    assert str(chosen()) == "32 slots and 16 shelves of 768 tokens"
