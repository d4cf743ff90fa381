"""The attempts that a rule makes rows of: the trace itself, or every attempt in its tree.

A rule that goes by a column works on the tree where the tree has that column, or where there is no
trace: on the trace's own steps first, then on each attempt that ended in the tree, then on steps
that were labelled and never followed to an end. That is what a tree search with labels is made
for (OmegaPRM, Luo et al., arXiv:2406.06592, section 3.3: every edge of the tree is an example).

The label of a node is trained on once: in later attempts the steps of a prefix that an earlier one
has are shared. The end of a whole draw has no number but its verdict, so a draw that adds nothing
else is no attempt to learn steps from.

In a tree that forked within steps (stretches.py) the pieces between forks are what was labelled,
and stand for steps (SPO-tree, Guo et al., arXiv:2505.23564); there the rest of a draw is one, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stepkit import schema
from stepkit.core import trace
from stepkit.core.columns import find_column, has_column
from stepkit.core.leaves import INSIDE, TreePaths, leaves, path
from stepkit.core.pairs.siblings import rest_cutter
from stepkit.core.stretches import stretches
from stepkit.schema import ROOT, Json

NOTHING_NEW = "an attempt whose labelled steps are all in rows above"


class TreeAttempt(NamedTuple):
    """An attempt as a flat trace.

    Attributes:
        record: with ``steps``, ``correct``, and the columns of its steps.
        shared: for each step, whether a row above has it; empty where none has.
        leaf: the node at its end; None for the trace itself.
    """

    record: Json
    shared: tuple[bool, ...] = ()
    leaf: int | None = None


def attempts_of(
    record: Json, at: str | None, usual: str | None, repeat: bool, dropped: Counter[str]
) -> Iterator[TreeAttempt]:
    """The attempts of a record that a rule is to look at.

    Args:
        at: the column that the user names, None for none.
        usual: the label that the rule goes by then; None for a rule of whole attempts, whose rows
            share nothing.
        repeat: give every attempt all its labels, whatever is shared.
        dropped: counts the attempts that are left out.
    """
    name = at or usual
    tree = schema.check_tree(record)
    has = tree is not None and name is not None and has_column(tree, name, "tree")
    if tree is None or (schema.steps(record) and not has):
        yield TreeAttempt(record)
        return
    yield from _TreeWalk(record, tree, name, usual is not None, repeat).attempts(dropped)


class _TreeWalk:
    """The attempts of a tree in turn, and which of its nodes they have had.

    Args:
        name: the column that the rule goes by; None for none.
        by_step: it makes something of each step; else of whole attempts.
        repeat: every attempt has all its labels.
    """

    def __init__(
        self, record: Json, tree: Json, name: str | None, by_step: bool, repeat: bool
    ) -> None:
        self._record, self._tree = record, tree
        forks = stretches(record, tree)
        self._pieces = bool(forks) and by_step
        cut = None if self._pieces else rest_cutter(record)
        self._paths = TreePaths(record, tree, cut, () if self._pieces else forks)
        self._x: Sequence[float | None] | None = None
        if name is not None:
            found = find_column(tree, name, "--at NAME", usual="labels", above="tree")
            self._x = found.entry["x"]
        self._labelled = by_step and self._x is not None
        self._once = by_step and not repeat
        self._used: set[int] = set()

    def attempts(self, dropped: Counter[str]) -> Iterator[TreeAttempt]:
        spine = self._tree.get("spine") or [ROOT]
        for end in dict.fromkeys([spine[-1], *leaves(self._tree)]):
            if end != ROOT:
                yield from self._attempt(end, dropped)
        if self._labelled:
            for end in self._unfinished():
                yield from self._attempt(end, dropped)

    def _attempt(self, end: int, dropped: Counter[str]) -> Iterator[TreeAttempt]:
        record, tree = self._record, self._tree
        made, ends = self._paths.attempt_and_ends(end)
        made["id"] = schema.id_of(record)
        if end in tree.get("spine", ())[-1:]:
            outcome, finish = trace.verdict(record, tree)
            made["correct"] = None if outcome is None else outcome == 1
            made["sample"] = {"finish": finish}
        elif not tree["finish"][end]:
            made["sample"] = {"finish": "length"}  # nothing ended here
        new = [one for one in ends if one != INSIDE and one not in self._used]
        shared = tuple(one in self._used for one in ends) if self._once else ()
        self._used.update(new)
        if self._once and self._labelled and not any(map(self._teaches, new)):
            dropped[NOTHING_NEW] += 1
        else:
            yield TreeAttempt(made, shared, end)

    def _teaches(self, node: int) -> bool:
        """Has the node a number that is more than the verdict of a draw?"""
        assert self._x is not None
        return self._x[node] is not None and (self._pieces or not self._tree["whole"][node])

    def _unfinished(self) -> list[int]:
        """The last labelled steps of the paths on which no attempt ended."""
        tree, found = self._tree, []
        covered = set(self._used)
        for node in range(len(tree["parent"]) - 1, ROOT, -1):
            is_step = tree["text"][node] and not tree["whole"][node]
            if is_step and node not in covered and self._teaches(node):
                found.append(node)
                covered.update(path(tree, node))
        return found[::-1]
