"""The attempts that a tree holds: one trace for each path from the root to where an attempt ended.

A search makes many attempts that share their prefixes. As traces of one group they can be scored,
reranked and paired like any others. Steps that were cut from a draw are views of it, not attempts;
so a leaf that is such a view is left out, and the draw it was cut from stands for both. Draws that
failed are no attempts either. An attempt whose every step was scored in the tree keeps the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stepkit import schema
from stepkit.core import trace
from stepkit.errors import DataError
from stepkit.schema import ROOT, UNDRAWN, Json


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


def leaf_traces(record: Json, cut: Callable[[str, int], list[str]]) -> list[Json]:
    """What each attempt of ``record["tree"]`` sets as a trace of its own, in file order.

    Args:
        cut: the steps of a whole continuation, given its text and the number of steps before it.

    Raises DataError when the record has no tree or a bad one.
    """
    tree = schema.check_tree(record)
    if tree is None:
        raise DataError('no "tree": run step-rollout first', "tree")
    name = schema.id_of(record)
    return [
        {
            "id": f"{name}/{leaf}",
            "group": schema.group_of(record),
            **_attempt(tree, path(tree, leaf), cut),
            "origin": {"id": name, "node": leaf},
        }
        for leaf in leaves(tree)
    ]


def _attempt(tree: Json, nodes: list[int], cut: Callable[[str, int], list[str]]) -> Json:
    leaf = nodes[-1]
    steps: list[str] = []
    for node in nodes:
        text = tree["text"][node]
        steps += cut(text, len(steps)) if tree["whole"][node] else [text] if text else []
    scores = _scores(tree, nodes)
    outcome = tree["outcome"][leaf]
    final = tree.get("final") or [None] * len(tree["parent"])
    attempt: Json = {
        "response": "".join(steps),
        "steps": steps,
        "sample": _sample(tree, nodes),
        "final": final[leaf],
        "correct": None if outcome is None else outcome == 1,
    }
    if scores:
        attempt["scores"] = scores
    return attempt


def _scores(tree: Json, nodes: list[int]) -> Json:
    """Those of ``tree.scores`` that have a number for every step of the attempt; none of a whole
    continuation, which is more steps than one."""
    steps = [node for node in nodes if tree["text"][node]]
    if any(tree["whole"][node] for node in steps):
        return {}
    found = {}
    for name, entry in trace.node_scores(tree).items():
        own = [entry["x"][node] for node in steps]
        if None not in own:
            found[name] = {**entry, "x": own}
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
