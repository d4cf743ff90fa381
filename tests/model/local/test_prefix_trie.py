"""The trie of prefixes finds what a look at every sequence finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from stepkit.core.common_prefix import common_length
from stepkit.model.local.prefix_trie import BLOCK, PrefixTrie

IDS = st.lists(st.integers(0, 1), max_size=3 * BLOCK).map(tuple)
"""Two tokens and short ones, so that beginnings are shared often."""


@examples(200)
@given(st.lists(st.tuples(st.integers(0, 4), IDS), max_size=30), IDS)
def test_longest_is_what_looking_at_all_finds(
    puts: list[tuple[int, tuple[int, ...]]], wanted: tuple[int, ...]
) -> None:
    trie = PrefixTrie(5)
    held: dict[int, tuple[int, ...]] = dict.fromkeys(range(5), ())
    for place, ids in puts:
        trie.put(place, ids)
        held[place] = ids
    assert {place: trie.held(place) for place in held} == held
    best, shared = trie.longest(wanted)
    most = max(common_length(ids, wanted) for ids in held.values())
    assert shared == most
    assert common_length(held[best], wanted) == most


def test_what_was_overwritten_is_not_found() -> None:
    trie = PrefixTrie(2)
    long = tuple(range(100))
    trie.put(0, long)
    trie.put(0, long[:40])
    assert trie.longest(long) == (0, 40)
    trie.put(0, ())
    assert trie.longest(long) == (0, 0)
