"""The longest common prefix of two sequences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepkit.core.common_prefix import common_length

IDS = st.lists(st.integers(0, 1), max_size=200).map(tuple)
"""Two tokens, so that prefixes are shared often."""


@given(IDS, IDS)
def test_common_is_the_longest_common_prefix(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    length = common_length(one, other)
    assert one[:length] == other[:length]
    assert one[length : length + 1] != other[length : length + 1] or length == len(one)
