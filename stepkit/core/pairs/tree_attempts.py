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
from stepkit.core.leaves import INSIDE, Cut, TreePaths, leaves, path
from stepkit.core.pairs.siblings import split_rule
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
    forked = bool(stretches(record, tree))
    paths = TreePaths(record, tree, None if forked else _cutter(record))
    x = (
        find_column(tree, name, "--at NAME", usual="labels", above="tree").entry["x"]
        if name
        else None
    )
    once = usual is not None and not repeat
    dull = [whole and not forked for whole in tree["whole"]]
    used: set[int] = set()
    spine = tree.get("spine") or [ROOT]
    ends = [end for end in dict.fromkeys([spine[-1], *leaves(tree)]) if end != ROOT]
    for end in ends:
        yield from _attempt(record, tree, paths, end, x, used, once, dull, dropped)
    if usual is not None and x is not None:
        for end in _unfinished(tree, x, used):
            yield from _attempt(record, tree, paths, end, x, used, once, dull, dropped)


def _attempt(
    record: Json,
    tree: Json,
    paths: TreePaths,
    end: int,
    x: Sequence[float | None] | None,
    used: set[int],
    once: bool,
    dull: Sequence[bool],
    dropped: Counter[str],
) -> Iterator[TreeAttempt]:
    made, ends = paths.attempt_and_ends(end)
    made["id"] = schema.id_of(record)
    if end in tree.get("spine", ())[-1:]:
        outcome, finish = trace.verdict(record, tree)
        made["correct"] = None if outcome is None else outcome == 1
        made["sample"] = {"finish": finish}
    elif not tree["finish"][end]:
        made["sample"] = {"finish": "length"}  # nothing ended here
    new = [one for one in ends if one != INSIDE and one not in used]
    shared = tuple(one in used for one in ends) if once else ()
    used.update(new)
    if once and x is not None and all(x[one] is None or dull[one] for one in new):
        dropped[NOTHING_NEW] += 1
        return
    yield TreeAttempt(made, shared, end)


def _unfinished(tree: Json, x: Sequence[float | None], used: set[int]) -> list[int]:
    """The last labelled steps of the paths on which no attempt ended."""
    found: list[int] = []
    covered = set(used)
    for node in range(len(x) - 1, ROOT, -1):
        numbered = x[node] is not None and not tree["whole"][node]
        if node not in covered and tree["text"][node] and numbered:
            found.append(node)
            covered.update(path(tree, node))
    return found[::-1]


def _cutter(record: Json) -> Cut:
    def cut(text: str, before: int) -> list[str]:
        from stepkit.text.segment import split  # here: its patterns take a while to compile
        from stepkit.text.segment_rules import continued

        rule = split_rule(record)
        if rule["by"] in ("tokens", "confidence"):
            return [text]  # a tree does not say where its tokens end
        return split(text, continued(rule, before))

    return cut
