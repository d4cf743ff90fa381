"""Endings from every subthought of a thinking trace, and the answer that most of them reach.

"Beyond the Last Answer" (Hammoud et al., arXiv 2504.20708): a trace is cut before the words by
which a reasoning model turns to another thought (step-split --by cue); from the end of every
subthought the model draws a continuation to an answer. The most frequent answer (the mode) is right
more often than the trace's own, and the entropy of the answers is low where the trace is right.

Where this differs: ``k`` endings of a subthought instead of one; the trace's own answer counts as
the ending of its last prefix; and answers are equal by the exact rules of text/answer_equality.py,
not by another model.
"""

from __future__ import annotations

from math import log2

from stepkit.core.selection import classes
from stepkit.core.tree import Tree, draws_at
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.search.method_setup import MethodSetup
from stepkit.search.record_tree import close_tree, judge_trace, open_tree
from stepkit.search.rollout_tree import DrawPlace, RolloutTree
from stepkit.search.scheduler import Strategy
from stepkit.text.answer_equality import canonical, quick

NAME = "subthought"


def subthought(rollouts: RolloutTree, k: int) -> Strategy[None]:
    """Draw ``k`` endings from the end of every subthought but the last."""
    nodes = rollouts.tree["spine"][:-1]
    yield from rollouts.draw([DrawPlace(node, number) for node in nodes for number in range(k)])


def answer_label(tree: Tree, by: int) -> Json:
    """A label of the answers of the endings that sampler ``by`` drew, and of the trace's own.

    ``x`` is for each step the share of the endings after it that reach the mode (after the last
    step: the trace's own); ``meta`` has the mode, whether it is right, the entropy of the answers
    in bits, and how often each was reached. Draws without an answer are in none of these.
    """
    spine = tree["spine"]
    ends = [draws_at(tree, node, by) for node in spine[:-1]] + [spine[-1:]]
    nodes = [node for drawn in ends for node in drawn if tree["final"][node] is not None]
    answers = classes([tree["final"][node] for node in nodes], _same)
    label: Json = {"of": "raw", "by": "sampler", "x": [None] * len(spine), "total": None}
    if not answers:
        return label | {"meta": {"mode": None, "entropy": None, "answers": {}}}
    mode = max(answers, key=lambda one: len(one.members))  # of equal ones the first reached
    reach = {nodes[member] for member in mode.members}
    label["x"] = [_share(reach, [node for node in drawn if node in nodes]) for drawn in ends]
    label["total"] = len(reach) / len(nodes)
    outcomes = [tree["outcome"][node] for node in sorted(reach)]
    shares = [len(one.members) / len(nodes) for one in answers]
    label["meta"] = {
        "mode": tree["final"][nodes[mode.members[0]]],
        "correct": next((value == 1 for value in outcomes if value is not None), None),
        "entropy": 0.0 - sum(share * log2(share) for share in shares),
        "answers": {tree["final"][nodes[one.members[0]]]: len(one.members) for one in answers},
    }
    return label


def _share(reach: set[int], drawn: list[int]) -> float | None:
    return sum(node in reach for node in drawn) / len(drawn) if drawn else None


def _same(a: str, b: str) -> bool:
    sure = quick(a, b)
    return canonical(a) == canonical(b) if sure is None else sure


def start(setup: MethodSetup, record: Json) -> Strategy[Json]:
    """The strategy for one record (see search/method_registry.py)."""
    split = record.get("split")
    if not isinstance(split, dict) or split.get("by") != "cue":
        raise DataError("subthoughts are wanted: cut with step-split --by cue", "split")
    rollouts = open_tree(setup, record)
    if not rollouts.tree["spine"]:
        raise DataError("there is no trace to go on from", "steps")
    yield from judge_trace(rollouts, record)
    yield from subthought(rollouts, setup.options["draws"])
    fields = close_tree(rollouts, record)
    labels: Json = fields.get("labels") or record.get("labels") or {}
    return {**fields, "labels": {**labels, NAME: answer_label(rollouts.tree, rollouts.by)}}
