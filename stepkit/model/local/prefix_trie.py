"""Which sequence holds which prefix: a trie over token ids, looked up by longest common prefix.

Edges are blocks of ids, so that a lookup costs a step per block. It knows nothing of llama.cpp: the
engine decides what the places are and when they may be overwritten (slot_engine.py).
"""

from __future__ import annotations

from stepkit.core.common_prefix import common_length
from stepkit.model.prefixes import Ids

BLOCK = 16


class _Node:
    __slots__ = ("children", "places")

    def __init__(self) -> None:
        self.children: dict[Ids, _Node] = {}
        self.places: set[int] = set()  # whose ids pass through here


class PrefixTrie:
    """The ids that each of ``places`` numbered places holds."""

    def __init__(self, places: int) -> None:
        self._held: list[Ids] = [()] * places
        self._root = _Node()

    def held(self, place: int) -> Ids:
        """The ids that ``place`` holds."""
        return self._held[place]

    def put(self, place: int, ids: Ids) -> None:
        """``place`` now holds ``ids`` and nothing else."""
        self._drop(place)
        self._held[place] = ids
        node = self._root
        node.places.add(place)
        for block in _blocks(ids):
            node = node.children.setdefault(block, _Node())
            node.places.add(place)

    def longest(self, ids: Ids) -> tuple[int, int]:
        """The place with the longest common prefix with ``ids``, and its length.

        Of equals the last (a shelf before a slot); 0 ids when no place shares any.
        """
        node = self._root
        depth = 0
        for block in _blocks(ids):
            child = node.children.get(block)
            if child is None:
                break
            node, depth = child, depth + BLOCK
        best, most = 0, -1
        for place in sorted(node.places):
            more = common_length(
                self._held[place][depth : depth + BLOCK], ids[depth : depth + BLOCK]
            )
            if more >= most:
                best, most = place, more
        return best, depth + max(most, 0)

    def _drop(self, place: int) -> None:
        node = self._root
        node.places.discard(place)
        for block in _blocks(self._held[place]):
            child = node.children[block]
            child.places.discard(place)
            if not child.places:
                del node.children[block]
                return
            node = child


def _blocks(ids: Ids) -> list[Ids]:
    """The whole blocks of ``ids``."""
    return [ids[at : at + BLOCK] for at in range(0, len(ids) - BLOCK + 1, BLOCK)]
