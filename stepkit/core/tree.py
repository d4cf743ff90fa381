"""The evidence tree: build it, extend it, and lay many trees out flat for the kernels.

A tree is a dict of equal-length columns (schema.TREE_COLUMNS) in which a parent comes before its
children; in addition there are ``spine`` (one node per step of the trace) and ``samplers``.
A drawn node is never moved, merged or re-cut here. What the numbers mean: labels/.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from stepkit.core import jit, kernels
from stepkit.errors import DataError
from stepkit.schema import FINISHES, NO_PARENT, ROOT, UNDRAWN

Tree = dict[str, Any]

NOT_COLUMNS = ("spine", "samplers", "visits", "ids", "token_logprob", "labels", "scores")
"""Keys of a tree that are no columns, whatever their length."""

GIVEN_NODE: Mapping[str, Any] = {
    "parent": NO_PARENT,
    "text": "",
    "whole": False,
    "finish": "",
    "outcome": None,
    "final": None,
    "by": UNDRAWN,
    "draw": UNDRAWN,
    "cut": UNDRAWN,
    "rule": "",
    "tokens": 0,
    "logprob": None,
}
"""One entry per column, in schema.TREE_COLUMNS' order: a given step (not drawn, not ended)."""


def from_steps(steps: Sequence[str]) -> Tree:
    """The tree of a trace before any draw: the root, and one given node per step as the spine."""
    tree: Tree = {name: [value] for name, value in GIVEN_NODE.items()}
    tree["spine"] = []
    tree["samplers"] = []
    node = ROOT
    for step in steps:
        node = add(tree, node, step, whole=False, finish="")
        tree["spine"].append(node)
    return tree


def copy_tree(tree: Mapping[str, Any]) -> Tree:
    """A copy that can be extended without touching ``tree`` (a record's data is read-only)."""
    return {key: list(value) if isinstance(value, list) else value for key, value in tree.items()}


def add(
    tree: Tree,
    parent: int,
    text: str,
    *,
    whole: bool,
    finish: str,
    outcome: float | None = None,
    final: str | None = None,
    by: int = UNDRAWN,
    draw: int = UNDRAWN,
    cut: int = UNDRAWN,
    rule: str = "",
    tokens: int = 0,
    logprob: float | None = None,
    ids: Sequence[int] | None = None,
    token_logprob: Sequence[float] | None = None,
) -> int:
    """Append one node in place and return its index.

    A column of ours that an older file lacks is created; a column that is not ours is carried
    along with null. Raises ValueError on an impossible node: that is the caller's bug, never the
    data's (schema.check_tree has seen the data).

    Args:
        parent: index of an existing node.
        whole: True for a whole continuation, False for one step.
        finish: "" when the attempt goes on here, else how it ended (schema.FINISHES).
        outcome: 1.0, 0.0, another number, or None (undecided); only where the attempt ended.
        by, draw: index into ``samplers`` and number of the draw; both -1 for given text.
        cut: the node this text was cut from, else -1.
        tokens, logprob: length, and the sum of log-probabilities under the model itself.
        ids, token_logprob: [tokens] the tokens themselves and the log-probability of each, for a
            tree that keeps them (``keep``); None when they are not known.
    """
    size = len(tree["parent"])
    if not 0 <= parent < size:
        raise ValueError(f"parent {parent} of a tree of {size} nodes")
    if finish not in FINISHES or (outcome is not None and not finish):
        raise ValueError(f"finish {finish!r} with outcome {outcome!r}")
    if not UNDRAWN <= by < len(tree["samplers"]) or (by == UNDRAWN) != (draw == UNDRAWN):
        raise ValueError(f"draw {draw} by sampler {by} of {len(tree['samplers'])}")
    node = {
        "parent": parent,
        "text": text,
        "whole": whole,
        "finish": finish,
        "outcome": outcome,
        "final": final,
        "by": by,
        "draw": draw,
        "cut": cut,
        "rule": rule,
        "tokens": tokens,
        "logprob": logprob,
    }
    for name, given in GIVEN_NODE.items():
        tree.setdefault(name, [given] * size).append(node[name])
    for name, column in tree.items():
        if name not in GIVEN_NODE and name not in NOT_COLUMNS and _is_column(column, size):
            column.append(None)
    for name, values in (("ids", ids), ("token_logprob", token_logprob)):
        if name in tree:
            known = values is not None and len(values) == tokens
            tree[name].extend(values if known else [UNKNOWN[name]] * tokens)
    return size


UNKNOWN: Mapping[str, Any] = {"ids": -1, "token_logprob": None}
"""What stands for each token of a node whose tokens are not known."""


def keep_tokens(tree: Tree, name: str) -> None:
    """Make ``tree`` keep ``ids`` or ``token_logprob``: one flat list, node i owns ``tokens[i]``."""
    if name not in tree:
        lengths = tree.setdefault("tokens", [0] * len(tree["parent"]))
        tree[name] = [UNKNOWN[name]] * sum(lengths)


def kept_tokens(tree: Mapping[str, Any], name: str) -> list[list[Any]] | None:
    """``ids`` or ``token_logprob`` of every node, or None where the tree does not keep them.

    Raises DataError when they are not one for each token.
    """
    flat, lengths = tree.get(name), tree.get("tokens")
    if flat is None or lengths is None:
        return None
    if not isinstance(flat, list) or len(flat) != sum(lengths):
        raise DataError("expected one entry for each of tree.tokens", f"tree.{name}")
    ends = list(accumulate(lengths))
    return [flat[end - count : end] for end, count in zip(ends, lengths, strict=True)]


SHARED_RULE = "skip"
"""The rule at a node that was not drawn from, because the value of the state before stands for its
own (search/skipped_steps.py)."""


def rule_at(tree: Mapping[str, Any], node: int, by: int) -> str:
    """Why sampler ``by`` stopped drawing at ``node``: ``NAME[:PARAMETER=VALUE,...]``, or "".

    The column holds an entry a sampler, joined by "; ", and those of samplers other than the
    first begin with "@" and the sampler's index. An entry may end in " -> " and what was decided.
    """
    for entry in _entries(tree, node):
        mark, text = _split_entry(entry)
        if mark == by:
            return text.partition(" -> ")[0]
    return ""


def set_rule(tree: Tree, node: int, by: int, text: str) -> None:
    """Note why sampler ``by`` stopped drawing at ``node``; "" takes its note away."""
    column = tree.setdefault("rule", [""] * len(tree["parent"]))
    kept = [entry for entry in _entries(tree, node) if _split_entry(entry)[0] != by]
    new = [] if not text else [f"@{by} {text}" if by else text]
    column[node] = "; ".join(sorted([*kept, *new], key=lambda entry: _split_entry(entry)[0]))


def _entries(tree: Mapping[str, Any], node: int) -> list[str]:
    column = tree.get("rule")
    text = column[node] if column else ""
    return [entry for entry in (text or "").split("; ") if entry]


def _split_entry(entry: str) -> tuple[int, str]:
    """(sampler's index, the rest) of an entry of the rule column."""
    mark, _, rest = entry.partition(" ")
    return (int(mark[1:]), rest) if mark[:1] == "@" and mark[1:].isdecimal() else (0, entry)


def _is_column(value: object, size: int) -> bool:
    return isinstance(value, list) and len(value) == size


def sampler_index(tree: Tree, sampler: Mapping[str, Any]) -> int:
    """Index in ``tree["samplers"]`` of the sampler with the same ``id``, appended when new."""
    samplers = tree.setdefault("samplers", [])
    for index, known in enumerate(samplers):
        if known.get("id") == sampler["id"]:
            return index
    samplers.append(dict(sampler))
    return len(samplers) - 1


def draws_at(tree: Mapping[str, Any], node: int, by: int) -> list[int]:
    """Nodes drawn at ``node`` by sampler ``by``, in draw order (equal numbers in file order).

    Draws that ended in "error" are among them; steps cut from a draw are not draws.
    """
    parent, drawn_by, draw = tree["parent"], tree["by"], tree["draw"]
    cut = tree.get("cut") or [UNDRAWN] * len(parent)
    found = [
        child
        for child in range(node + 1, len(parent))
        if parent[child] == node
        and drawn_by[child] == by
        and draw[child] != UNDRAWN
        and cut[child] == UNDRAWN
    ]
    return sorted(found, key=draw.__getitem__)


def drawing_samplers(tree: Mapping[str, Any]) -> list[int]:
    """Indices of the samplers that drew whole continuations in this tree, ascending."""
    return sorted({by for by, whole in zip(tree["by"], tree["whole"], strict=True) if whole} - {-1})


class Forest(NamedTuple):
    """The columns of many trees end to end, as the kernels take them.

    Tree ``i`` owns the nodes ``offsets[i] .. offsets[i + 1] - 1``. All arrays are typed and are
    handed to compiled code without a copy.
    """

    offsets: array[int]  # [n_trees + 1] int64
    parent: array[int]  # [n_nodes] int64; index into the forest, -1 at roots
    outcome: array[float]  # [n_nodes] float64; NaN: undecided or not ended
    by: array[int]  # [n_nodes] int64; index into the tree's own samplers
    draw: array[int]  # [n_nodes] int64
    drawn: array[int]  # [n_nodes] int8; 1: a whole continuation that was drawn and did not fail


def build_forest(trees: Sequence[Mapping[str, Any]]) -> Forest:
    """Lay ``trees`` (checked by schema.check_tree) out as one Forest."""
    offsets, parent = array("q", [0]), array("q")
    outcome, by, draw, drawn = array("d"), array("q"), array("q"), array("b")
    nan = float("nan")
    for tree in trees:
        start = offsets[-1]
        above = tree["parent"]
        cut = tree.get("cut") or [UNDRAWN] * len(above)
        parent.append(NO_PARENT)
        parent.extend([node + start for node in above[1:]])
        outcome.extend([nan if value is None else value for value in tree["outcome"]])
        by.extend(tree["by"])
        draw.extend(tree["draw"])
        columns = zip(tree["whole"], tree["finish"], cut, tree["draw"], strict=True)
        drawn.extend(
            [
                whole and finish != "error" and origin == UNDRAWN and number != UNDRAWN
                for whole, finish, origin, number in columns
            ]
        )
        offsets.append(start + len(above))
    return Forest(offsets, parent, outcome, by, draw, drawn)


class NodeCounts(NamedTuple):
    """What was drawn at every node of a forest. All [n_nodes]; see kernels.count_draws."""

    last: array[int]  # the draw counted last at this node, or -1
    earlier: array[int]  # the draw counted before this one at the same node, or -1
    highest: array[int]
    k: array[float]  # sum of the outcomes of the decided draws (whole numbers for right or wrong)
    n: array[int]  # decided draws
    undecided: array[int]  # draws without a verdict; failed ones are in neither

    def draws_at(self, node: int) -> list[int]:
        """The draws counted at ``node`` (forest index), in file order."""
        found = []
        child = self.last[node]
        while child >= 0:
            found.append(child)
            child = self.earlier[child]
        return found[::-1]


def no_counts(size: int) -> NodeCounts:
    """Counts of a forest of ``size`` nodes before counting."""
    zero, none = array("q", [0]) * size, array("q", [-1]) * size
    return NodeCounts(none, none[:], none[:], array("d", [0.0]) * size, zero, zero[:])


def count_draws(forest: Forest, samplers: Sequence[int]) -> NodeCounts:
    """Count, at every node, the draws made there by ``samplers[i]`` in tree i.

    One call for many trees: compiled once the work repays it (jit.py).
    """
    counts = no_counts(forest.offsets[-1])
    by = array("q", samplers)
    kernels.count_draws(forest.offsets[-1], forest.offsets, by, *forest[1:], *counts)
    return counts


def compile_kernels() -> None:
    """Compile the kernels now, so that their cache is on disk (for an installer)."""
    forest = build_forest([])
    kernels.count_draws(jit.REPAID, forest.offsets, array("q"), *forest[1:], *no_counts(0))
