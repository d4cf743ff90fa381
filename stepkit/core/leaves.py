"""The attempts that a tree holds: one trace for each path from the root to where an attempt ended.

A search makes many attempts that share their prefixes. As traces of one group they can be scored,
reranked and paired like any others. Steps that were cut from a draw are views of it, not attempts;
so a leaf that is such a view is left out, and the draw it was cut from stands for both. Draws that
failed are no attempts either.

The tree's labels and scores go with the steps, each with all its columns (counts, bounds). A number
of a node is that of the step which ends there; so inside of a draw steps have one only where the
tree has views of them. A value is that of the prefix, wherever its last step began; what a step
changed, or whether it is right, is said of the node's whole text, and is no step's where the node
is of several.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from stepkit import schema
from stepkit.core import trace
from stepkit.core.columns import all_columns
from stepkit.core.stretches import stretches
from stepkit.errors import DataError
from stepkit.schema import ROOT, UNDRAWN, Json

Cut = Callable[[str, int], list[str]]
"""The steps of a whole continuation, given its text and the number of steps before it."""

OWN = "assistant"
INSIDE = -1
"""In place of the node at the end of a step, where the tree has none."""


def leaves(tree: Mapping[str, Any]) -> list[int]:
    """The nodes at which an attempt ended, ascending."""
    cut = tree.get("cut") or [UNDRAWN] * len(tree["parent"])
    return [
        node
        for node, finish in enumerate(tree["finish"])
        if finish in ("stop", "length") and cut[node] == UNDRAWN and node != ROOT
    ]


def path(tree: Mapping[str, Any], node: int) -> list[int]:
    """The nodes from below the root down to ``node``."""
    nodes = []
    while node != ROOT:
        nodes.append(node)
        node = tree["parent"][node]
    return nodes[::-1]


def leaf_traces(record: Json, cut: Cut) -> list[Json]:
    """What each attempt of ``record["tree"]`` sets as a trace of its own, in file order.

    Raises DataError when the record has no tree or a bad one.
    """
    tree = schema.check_tree(record)
    if tree is None:
        raise DataError('no "tree": run step-rollout first', "tree")
    paths = TreePaths(record, tree, cut, stretches(record, tree))
    name = schema.id_of(record)
    return [
        {
            "id": f"{name}/{leaf}",
            "group": schema.group_of(record),
            **paths.attempt(leaf),
            "origin": {"id": name, "node": leaf},
        }
        for leaf in leaves(tree)
    ]


class TreePaths:
    """The paths of a checked tree as traces.

    Args:
        cut: makes the steps of a whole continuation; None leaves its pieces between forks.
        joined: nodes that are no steps and are cut anew with what follows, as far as they are
            followed by a continuation.

    Raises DataError for columns or roles that do not fit the tree.
    """

    def __init__(
        self, record: Json, tree: Json, cut: Cut | None, joined: Collection[int] = ()
    ) -> None:
        self._tree = tree
        self._cut = cut
        self._joined = joined
        parent = tree["parent"]
        self._views = {
            (draw, parent[node]): node
            for node, draw in enumerate(tree.get("cut") or ())
            if draw != UNDRAWN
        }
        self._columns = list(all_columns(tree, "tree"))
        for column in self._columns:
            column.x(len(parent))
        spine, given = tree.get("spine", ()), record.get("role")
        trace.assistant_steps(record, len(spine))
        self._role = {} if given is None else dict(zip(spine, given, strict=True))

    def attempt(self, leaf: int) -> Json:
        """The trace that ended at the node ``leaf``."""
        return self.attempt_and_ends(leaf)[0]

    def attempt_and_ends(self, leaf: int) -> tuple[Json, list[int]]:
        """The same, and for each step the node at its end, INSIDE of a draw."""
        tree, nodes = self._tree, path(self._tree, leaf)
        steps, ends, alone = self._steps(nodes)
        outcome, final = tree["outcome"][leaf], tree.get("final")
        attempt: Json = {
            "response": "".join(steps),
            "steps": steps,
            "sample": _sample(tree, nodes),
            "final": final[leaf] if final else None,
            "correct": None if outcome is None else outcome == 1,
        }
        role = [self._role.get(end, OWN) for end in ends]
        if any(who != OWN for who in role):
            attempt["role"] = role
        return attempt | self._columns_of(ends, alone), ends

    def _steps(self, nodes: Sequence[int]) -> tuple[list[str], list[int], list[bool]]:
        """The steps of a path, the node at the end of each, and whether that is the step alone."""
        tree = self._tree
        steps: list[str] = []
        ends: list[int] = []
        alone: list[bool] = []
        text = ""
        known: dict[int, int] = {}
        for node in nodes:
            before, text = len(text), text + tree["text"][node]
            if tree["whole"][node]:
                known |= {before + end: view for end, view in self._view_ends(node).items()}
            known[len(text)] = node
            if not text or (node in self._joined and node != nodes[-1]):
                continue
            is_step = not before and not tree["whole"][node]
            if is_step:
                own = [text]
            elif self._cut is None:
                own = [text[a:b] for a, b in pairwise([0, *sorted(known)]) if a < b]
            else:
                own = self._cut(text, len(steps))
            here = [known.get(end, INSIDE) for end in accumulate(map(len, own))]
            steps += own
            ends += here
            alone += [
                end != INSIDE and tree["text"][end] == one
                for end, one in zip(here, own, strict=True)
            ]
            text, known = "", {}
        return steps, ends, alone

    def _columns_of(self, ends: Sequence[int], alone: Sequence[bool]) -> Json:
        """The tree's labels and scores along the path.

        Every list of one entry a node becomes one of an entry a step, null for steps inside of a
        draw and, of what is no value, where the node is not the step alone; the root's are under
        ``root``.
        """
        found: Json = {}
        for column in self._columns:
            x = column.entry["x"]
            of_prefix = column.entry.get("of") == "value"
            told = [
                end if of_prefix or one else INSIDE for end, one in zip(ends, alone, strict=True)
            ]
            lists = {
                name: value
                for name, value in column.entry.items()
                if isinstance(value, list) and len(value) == len(x)
            }
            entry = column.entry | {
                name: [None if end == INSIDE else value[end] for end in told]
                for name, value in lists.items()
            }
            if x[ROOT] is not None:
                entry["root"] = {name: value[ROOT] for name, value in lists.items()}
            found.setdefault(column.kind, {})[column.name] = entry
        return found

    def _view_ends(self, draw: int) -> dict[int, int]:
        """The steps that were cut from a draw, by where in its text they end."""
        found: dict[int, int] = {}
        at, end = self._tree["parent"][draw], 0
        while (at := self._views.get((draw, at), INSIDE)) != INSIDE:
            end += len(self._tree["text"][at])
            found[end] = at
        return found


def _sample(tree: Json, nodes: list[int]) -> Json:
    """Who drew the end of the attempt and how it ended; lengths where the whole path has them."""
    leaf = nodes[-1]
    about: Json = {"finish": tree["finish"][leaf]}
    if tree["by"][leaf] != UNDRAWN:
        about |= {"sampler": tree["samplers"][tree["by"][leaf]], "draw": tree["draw"][leaf]}
    logprob = tree.get("logprob") or [None] * len(tree["parent"])
    if "tokens" in tree and all(logprob[node] is not None for node in nodes):
        about["tokens"] = sum(tree["tokens"][node] for node in nodes)
        about["logprob"] = sum(logprob[node] for node in nodes)
    return about
