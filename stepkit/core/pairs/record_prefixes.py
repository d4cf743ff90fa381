"""One record read for its rows: the steps, the tree, and which nodes are at one prefix.

Nodes with equal texts after equal prefixes are one place: their draws were made at one prefix, and
a draw is known by its number there, so one that a merged file holds twice counts once. Which steps
compete is in siblings.py, and their values in step_values.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from stepkit import schema
from stepkit.core import trace
from stepkit.core.stretches import stretches
from stepkit.errors import DataError
from stepkit.schema import Json


class RecordPrefixes:
    """A record's tree with its places.

    Attributes:
        record: the record.
        steps: the trace's own steps; none for a tree without a trace.
        own: for each step, whether it is the model's.
        tree: the checked tree.
        sampler: index of the sampler whose whole continuations count; -1 without any.
        place: for every node, the first node at the same prefix.
        spine: the places of the trace's steps.
        others: those of them that are not the model's.
        stretches: the places that are no steps, but stretches between two forks (stretches.py).
        number: by place, the lowest number of a draw at it, -1 for given text.
        steps_at: by place, the places one step further, the first drawn first.
        draws_at: by place, the whole continuations drawn there, by their draw numbers; failed ones
            and those cut from others are left out.
        end_at: by place, the node with which an attempt ended there. Where several did, a decided
            one, one that came to its own end, the first drawn: whatever the order of the file.
    """

    __slots__ = (
        "_verdict", "cache", "draws_at", "end_at", "number", "others", "own", "place", "record",
        "sampler", "spine", "steps", "steps_at", "stretches", "tree",
    )  # fmt: skip

    def __init__(self, record: Json, sampler: str | None = None) -> None:
        self.record = record
        self.steps = schema.steps(record)
        self.tree = tree = trace.spine_tree(record, self.steps)
        self.own = trace.assistant_steps(record, len(self.steps))
        self.sampler = trace.choose_sampler(tree, sampler)[0]
        self.steps_at: dict[int, list[int]] = {}
        self.draws_at: dict[int, list[int]] = {}
        self.end_at: dict[int, int] = {}
        self.number: list[int] = list(tree["draw"])
        self.place = self._places()
        self.spine = [self.place[node] for node in tree.get("spine", ())]
        self.others = {node for node, own in zip(self.spine, self.own, strict=True) if not own}
        self.stretches = self._stretches()
        self._verdict = trace.verdict(record, tree) if self.spine else (None, "")
        self.cache: Json = {}  # what step_values.py works out once for the whole tree

    def _places(self) -> list[int]:
        tree, sampler = self.tree, self.sampler
        drawn: dict[int, dict[int, int]] = {}
        known: dict[tuple[int, str], int] = {}
        place = [schema.ROOT]
        cuts = tree.get("cut") or [schema.UNDRAWN] * len(tree["parent"])
        columns = (tree[key] for key in ("parent", "text", "whole", "finish", "by", "draw"))
        nodes = enumerate(zip(*columns, cuts, strict=True))
        next(nodes)
        for node, (parent, text, whole, finish, by, draw, cut) in nodes:
            above = place[parent]
            if whole:
                place.append(node)
                if by == sampler and draw >= 0 and cut == schema.UNDRAWN and finish != "error":
                    drawn.setdefault(above, {}).setdefault(draw, node)
                continue
            first = known.setdefault((above, text), node)
            place.append(first)
            if first == node:
                self.steps_at.setdefault(above, []).append(node)
            elif draw < self.number[first]:
                self.number[first] = draw
            if finish:
                self._end(first, node)
        for above, numbers in drawn.items():
            self.draws_at[above] = [numbers[number] for number in sorted(numbers)]
        for places in self.steps_at.values():
            if len(places) > 1:
                places.sort(key=lambda node: (self.number[node], tree["text"][node]))
        return place

    def _stretches(self) -> set[int]:
        """The places at which nothing but stretches is."""
        nodes, whole = stretches(self.record, self.tree), self.tree["whole"]
        if not nodes:
            return set()
        steps = {
            place for node, place in enumerate(self.place) if node not in nodes and not whole[node]
        }
        return {self.place[node] for node in nodes} - steps

    def _end(self, place: int, node: int) -> None:
        outcome, finish = self.tree["outcome"], self.tree["finish"]

        def order(node: int) -> tuple[bool, bool, int, float]:
            own, number = outcome[node], self.tree["draw"][node]
            return own is None, finish[node] != "stop", number, own or 0

        self.end_at[place] = min(self.end_at.get(place, node), node, key=order)

    def end(self, node: int) -> tuple[float | None, str]:
        """(outcome, finish) of the attempt that ended at a draw or a place; (None, "") of none."""
        if self.spine and node == self.spine[-1]:
            return self._verdict
        node = self.end_at.get(node, node)
        return self.tree["outcome"][node], self.tree["finish"][node]

    def outcome(self, node: int) -> tuple[bool, str] | None:
        """(right, finish) of the attempt that ended at ``node``; None when undecided."""
        outcome, finish = self.end(node)
        return None if outcome is None else (is_right(outcome, node), finish)

    def between(self, place: int, node: int) -> str:
        """The text after ``place`` up to the end of ``node``, which is below it."""
        parent, text, found = self.tree["parent"], self.tree["text"], []
        while node != place:
            found.append(text[node])
            node = self.place[parent[node]]
        return "".join(reversed(found))

    def path(self, place: int) -> list[int]:
        """``place`` and the places before it, without the root."""
        parent, path = self.tree["parent"], []
        while place != schema.ROOT:
            path.append(place)
            place = self.place[parent[place]]
        return path

    def ends_at(self, place: int) -> Iterator[int]:
        """The decided attempts that ended by themselves at ``place`` or were drawn there."""
        for node in (place, *self.draws_at.get(place, ())):
            decided = self.outcome(node)
            if decided and decided[1] == "stop":
                yield node

    def ends_below(self, place: int) -> Iterator[int]:
        """Those further down, not through steps that are not the model's."""
        waiting = list(reversed(self.steps_at.get(place, ())))
        while waiting:
            node = waiting.pop()
            if node not in self.others:
                yield from self.ends_at(node)
                waiting += reversed(self.steps_at.get(node, ()))


def is_right(outcome: float, node: int) -> bool:
    """True for 1. Raises DataError for anything but 1 and 0: pairs need right and wrong."""
    if outcome != 0 and outcome != 1:
        raise DataError(
            f"pairs need right (1) and wrong (0), got {outcome}", f"tree.outcome[{node}]"
        )
    return outcome == 1
