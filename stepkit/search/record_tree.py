"""From a record to a tree that can be drawn from, and back to the fields to set in the record."""

from __future__ import annotations

from typing import Any

from stepkit import schema
from stepkit.core import tree as trees
from stepkit.core.tree import copy_tree, from_steps
from stepkit.errors import DataError
from stepkit.schema import ROOT, Json
from stepkit.search.method_setup import MethodSetup
from stepkit.search.rollout_tree import RolloutTree
from stepkit.search.scheduler import JudgeRequest, Strategy
from stepkit.text.segment_rules import DEFAULT_RULE, check

RESPONSE_FIELDS = (
    "steps",
    "split",
    "role",
    "sample",
    "final",
    "correct",
    "tree",
    "labels",
    "scores",
    "verdicts",
    "choice",
    "origin",
)
"""Fields that belong to a response: they go when it is replaced."""


def open_tree(
    setup: MethodSetup, record: Json, *, ids: bool = False, graded: bool = True
) -> RolloutTree:
    """The record's tree, or a new one whose spine is its steps, ready to be drawn from.

    Args:
        ids: keep the token ids of what is drawn, for a method that draws from drawn steps again.
        graded: the method goes by outcomes, so that there must be a reference answer.

    Raises DataError when the record lacks what is needed.
    """
    steps = schema.steps(record)
    answer = schema.answer_of(record)
    if answer is None and graded:
        raise DataError("missing: draws are graded against it", "answer")
    stored = schema.check_tree(record)
    tree = from_steps(steps) if stored is None else copy_tree(stored)
    tree.setdefault("spine", [])
    tree.setdefault("final", [None] * len(tree["parent"]))
    if [tree["text"][node] for node in tree["spine"]] != steps:
        raise DataError("its spine is not the trace's steps", "tree.spine")
    if ids or setup.tokens:
        trees.keep_tokens(tree, "ids")
    if setup.tokens:
        trees.keep_tokens(tree, "token_logprob")
    if steps and "correct" in record:
        last = tree["spine"][-1]
        tree["finish"][last] = finish_of(record)
        tree["outcome"][last] = schema.correct_of(record)
        tree["final"][last] = schema.optional_text(record, "final")
    rule = setup.options.get("by") or record.get("split")
    if setup.options.get("max_steps"):
        rule = {**(rule or DEFAULT_RULE), "max_steps": setup.options["max_steps"]}
    if rule is not None:
        check(rule)
    prefixes = setup.sampler.prefixes.at_cuts(record, steps)
    return RolloutTree(setup.sampler, tree, prefixes, answer, rule)


def judge_trace(rollouts: RolloutTree, record: Json) -> Strategy[None]:
    """Grade the answer of the trace itself, where that was not done."""
    tree = rollouts.tree
    last = tree["spine"][-1] if tree["spine"] else ROOT
    if last == ROOT or tree["finish"][last]:
        return
    tree["finish"][last] = finish_of(record)
    if tree["finish"][last] == "stop" and rollouts.answer is not None:
        (judged,) = yield [JudgeRequest(rollouts.prefix_text(last), rollouts.answer)]
        tree["outcome"][last], tree["final"][last] = judged.outcome, judged.final


def close_tree(rollouts: RolloutTree, record: Json) -> Json:
    """The fields to set: the tree, the trace's outcome if it had none, and its labels without those
    that new draws put out of date."""
    tree = rollouts.tree
    fields: Json = {"tree": tree}
    if tree["spine"] and "correct" not in record:
        last = tree["spine"][-1]
        outcome = tree["outcome"][last]
        fields["final"] = tree["final"][last]
        fields["correct"] = None if outcome is None else outcome == 1
    labels = record.get("labels")
    if rollouts.spent.new and isinstance(labels, dict):
        kept = without_sampled(labels)
        if len(kept) < len(labels):
            fields["labels"] = kept
    if rollouts.spent.new and isinstance(tree.get("labels"), dict):
        tree["labels"] = without_sampled(tree["labels"])
    for key in ("labels", "scores"):
        if isinstance(tree.get(key), dict):
            size = len(tree["parent"])
            tree[key] = {name: _extended(entry, size) for name, entry in tree[key].items()}
    return fields


def _extended(entry: Any, size: int) -> Any:
    """A label or score of the nodes, with null for nodes that were added since in each of its
    columns."""
    if not isinstance(entry, dict) or not isinstance(entry.get("x"), list):
        return entry
    before = len(entry["x"])
    return {
        name: value + [None] * (size - before)
        if isinstance(value, list) and len(value) == before
        else value
        for name, value in entry.items()
    }


def close_tree_with_rule(rollouts: RolloutTree, record: Json) -> Json:
    """``close_tree`` for a method that draws steps: with the rule they were cut by, where the
    record has none, so that others cut alike."""
    fields = close_tree(rollouts, record)
    return fields if record.get("split") else {**fields, "split": rollouts.rule}


def without_sampled(labels: Json) -> Json:
    """``labels`` without those derived from draws: new draws put them out of date."""
    return {
        name: label
        for name, label in labels.items()
        if not (isinstance(label, dict) and label.get("by") == "sampler")
    }


def without_judged(verdicts: Json) -> Json:
    """``verdicts`` without a judge's on the answer: another grading puts them out of date."""
    return {
        name: verdict
        for name, verdict in verdicts.items()
        if not (isinstance(verdict, dict) and verdict.get("by") == "judge")
    }


def finish_of(record: Json) -> str:
    """How a trace ended: "stop", also where it does not say, or "length"."""
    sample = record.get("sample")
    finish = sample.get("finish") if isinstance(sample, dict) else None
    return finish if finish in ("stop", "length") else "stop"
