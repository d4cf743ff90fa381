"""Judge again what is stored: the answers of a trace and of all draws in its tree, without a model.

For another grader, a corrected reference answer, or answers that are looked for in another way.
"""

from __future__ import annotations

from collections.abc import Callable

from stepkit import schema
from stepkit.core.leaves import path
from stepkit.core.tree import copy_tree
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.search.record_tree import finish_of, without_sampled
from stepkit.text.answers import extract

Grade = Callable[[list[tuple[str, str | None]]], list[float | None]]
"""(reference, answer found) pairs -> their outcomes."""


def regraded(data: Json, grade: Grade) -> tuple[Json, int]:
    """The fields to set in a record, and how many outcomes are others than before.

    Undecided stays what was cut off; an answer may be found in it all the same. Rewards (outcomes
    that are neither 1 nor 0) and draws that failed are left alone. Labels made from draws go when
    an outcome changed. Raises DataError when the record lacks what is needed.
    """
    answer = schema.answer_of(data)
    if answer is None:
        raise DataError("missing: there is nothing to grade against", "answer")
    fields, changed = _tree(data, answer, grade)
    if data.get("response") is not None:
        text = schema.text(data, "response")
        (outcome,), (final,) = _judged([(text, finish_of(data))], answer, grade)
        correct = None if outcome is None else outcome == 1
        fields |= {"final": final, "correct": correct}
        changed += correct is not data.get("correct")
    if changed and isinstance(data.get("labels"), dict):
        fields["labels"] = without_sampled(data["labels"])
    return fields, changed


def _tree(data: Json, answer: str, grade: Grade) -> tuple[Json, int]:
    given = schema.check_tree(data)
    if given is None:
        return {}, 0
    tree = copy_tree(given)
    size = len(tree["parent"])
    tree.setdefault("final", [None] * size)
    nodes = [
        node
        for node in range(size)
        if tree["finish"][node] in ("stop", "length") and tree["outcome"][node] in (0, 1, None)
    ]
    ends = [("".join(tree["text"][n] for n in path(tree, node)), tree["finish"][node])
            for node in nodes]  # fmt: skip
    outcomes, finals = _judged(ends, answer, grade)
    changed = 0
    for node, outcome, final in zip(nodes, outcomes, finals, strict=True):
        changed += outcome != tree["outcome"][node]
        tree["outcome"][node], tree["final"][node] = outcome, final
    if changed and isinstance(tree.get("labels"), dict):
        tree["labels"] = without_sampled(tree["labels"])
    return {"tree": tree}, changed


def _judged(
    ends: list[tuple[str, str]], answer: str, grade: Grade
) -> tuple[list[float | None], list[str | None]]:
    """Outcomes and answers of whole attempts, given their text and how they ended."""
    finals = [extract(text) for text, _ in ends]
    whole = [
        final if finish == "stop" else None for (_, finish), final in zip(ends, finals, strict=True)
    ]
    return grade([(answer, final) for final in whole]), finals
