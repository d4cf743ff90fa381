"""From a record to a tree that can be drawn from, and back to the fields to set in the record."""

from __future__ import annotations

from typing import Any

from stepkit import schema
from stepkit.core import tree as trees
from stepkit.core.tree import copied, from_steps
from stepkit.errors import DataError
from stepkit.schema import ROOT, Json
from stepkit.search.method_registry import MethodSetup
from stepkit.search.rollout_tree import Asking, RolloutTree
from stepkit.search.scheduler import JudgeRequest
from stepkit.text.segment_rules import DEFAULT_RULE, check


def open_tree(
    setup: MethodSetup, data: Json, *, ids: bool = False, graded: bool = True
) -> RolloutTree:
    """The record's tree, or a new one whose spine is its steps, ready to be drawn from.

    Args:
        ids: keep the token ids of what is drawn, for a method that draws on from drawn steps.
        graded: the method goes by outcomes, so that there must be an answer to compare with.

    Raises DataError when the record lacks what is needed.
    """
    steps = schema.steps(data)
    answer = schema.answer_of(data)
    if answer is None and graded:
        raise DataError("missing: draws are graded against it", "answer")
    given = schema.check_tree(data)
    tree = from_steps(steps) if given is None else copied(given)
    tree.setdefault("spine", [])
    tree.setdefault("final", [None] * len(tree["parent"]))
    if [tree["text"][node] for node in tree["spine"]] != steps:
        raise DataError("its spine is not the trace's steps", "tree.spine")
    if ids or setup.tokens:
        trees.keep(tree, "ids")
    if setup.tokens:
        trees.keep(tree, "token_logprob")
    if steps and "correct" in data:
        last = tree["spine"][-1]
        tree["finish"][last] = finish_of(data)
        tree["outcome"][last] = schema.correct_of(data)
        tree["final"][last] = schema.optional_text(data, "final")
    rule = setup.options.get("by") or data.get("split")
    if setup.options.get("max_steps"):
        rule = {**(rule or DEFAULT_RULE), "max_steps": setup.options["max_steps"]}
    if rule is not None:
        check(rule)
    prefixes = setup.sampler.prefixes.at_cuts(data, steps)
    return RolloutTree(setup.sampler, tree, prefixes, answer, rule)


def judged(growth: RolloutTree, data: Json) -> Asking:
    """Judge the trace itself, if that was not done."""
    tree = growth.tree
    last = tree["spine"][-1] if tree["spine"] else ROOT
    if last == ROOT or tree["finish"][last]:
        return
    tree["finish"][last] = finish_of(data)
    if tree["finish"][last] == "stop" and growth.answer is not None:
        (own,) = yield [JudgeRequest(growth.given(last), growth.answer)]
        tree["outcome"][last], tree["final"][last] = own.outcome, own.final


def close_tree(growth: RolloutTree, data: Json) -> Json:
    """The fields to set: the tree, the trace's verdict if it had none, and its labels without those
    that new draws put out of date."""
    tree = growth.tree
    fields: Json = {"tree": tree}
    if tree["spine"] and "correct" not in data:
        last = tree["spine"][-1]
        outcome = tree["outcome"][last]
        fields["final"] = tree["final"][last]
        fields["correct"] = None if outcome is None else outcome == 1
    labels = data.get("labels")
    if growth.spent.new and isinstance(labels, dict):
        kept = without_sampled(labels)
        if len(kept) < len(labels):
            fields["labels"] = kept
    if growth.spent.new and isinstance(tree.get("labels"), dict):
        tree["labels"] = without_sampled(tree["labels"])
    for key in ("labels", "scores"):
        if isinstance(tree.get(key), dict):
            size = len(tree["parent"])
            tree[key] = {name: _extended(entry, size) for name, entry in tree[key].items()}
    return fields


def _extended(entry: Any, size: int) -> Any:
    """A label or score of the nodes, with null for nodes that have come since."""
    if not isinstance(entry, dict) or not isinstance(entry.get("x"), list):
        return entry
    return {**entry, "x": entry["x"] + [None] * (size - len(entry["x"]))}


def close_tree_with_rule(growth: RolloutTree, data: Json) -> Json:
    """``ended`` for a method that grows steps: with the rule they were cut by, where the record has
    none, so that others cut alike."""
    rule = {} if data.get("split") else {"split": growth.rule}
    return {**close_tree(growth, data), **rule}


def without_sampled(labels: Json) -> Json:
    """``labels`` without those that were derived from draws: with others they are out of date."""
    return {
        name: label
        for name, label in labels.items()
        if not (isinstance(label, dict) and label.get("by") == "sampler")
    }


def finish_of(data: Json) -> str:
    """How a trace ended, as far as it says so."""
    sample = data.get("sample")
    finish = sample.get("finish") if isinstance(sample, dict) else None
    return finish if finish in ("stop", "length") else "stop"
