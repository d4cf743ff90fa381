"""Grade again what is stored: the answers of a trace and of all draws in its tree, without a model.

For another grader, a corrected reference answer, or another way to find the answer in a text.
"""

from __future__ import annotations

from collections.abc import Callable

from stepkit import schema
from stepkit.core.leaves import path
from stepkit.core.tree import copy_tree
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.search.record_tree import finish_of, without_judged, without_sampled
from stepkit.text.answers import AnswerReader, find

Grade = Callable[[list[tuple[str, str | None, str]]], list[float | None]]
"""(reference, answer found, problem) -> their outcomes."""

OWN = ("final", "correct")
"""What a grading finds in a response."""

Judge = Callable[[list[tuple[str, str]]], tuple[list[float | None], list[str | None]]]
"""(text, how it ended) of whole attempts -> their outcomes and answers."""


def regraded(record: Json, grade: Grade, read: AnswerReader = find) -> tuple[Json, int]:
    """The fields to set in a record, and how many outcomes have changed.

    What was cut off stays undecided, though an answer may be found in it. Rewards (outcomes that
    are neither 1 nor 0) and draws that failed are left alone. Labels made from draws are removed
    when an outcome changed, and a judge's verdict on the answer when what is found in the response
    changed. Raises DataError when the record lacks what is needed.
    """
    answer = schema.answer_of(record)
    if answer is None:
        raise DataError("missing: there is nothing to grade against", "answer")
    asked = (answer, schema.problem_or_nothing(record))

    def judge(ends: list[tuple[str, str]]) -> tuple[list[float | None], list[str | None]]:
        return _graded(ends, asked, grade, read)

    fields, changed = _tree(record, judge)
    if record.get("response") is not None:
        text = schema.text(record, "response")
        (outcome,), (final,) = judge([(text, finish_of(record))])
        correct = None if outcome is None else outcome == 1
        fields |= {"final": final, "correct": correct}
        changed += correct is not record.get("correct")
        verdicts = record.get("verdicts")
        if isinstance(verdicts, dict) and any(fields[key] != record.get(key) for key in OWN):
            fields["verdicts"] = without_judged(verdicts)
    if changed and isinstance(record.get("labels"), dict):
        fields["labels"] = without_sampled(record["labels"])
    return fields, changed


def _tree(record: Json, judge: Judge) -> tuple[Json, int]:
    stored = schema.check_tree(record)
    if stored is None:
        return {}, 0
    tree = copy_tree(stored)
    size = len(tree["parent"])
    tree.setdefault("final", [None] * size)
    nodes = [
        node
        for node in range(size)
        if tree["finish"][node] in ("stop", "length") and tree["outcome"][node] in (0, 1, None)
    ]
    ends = [("".join(tree["text"][n] for n in path(tree, node)), tree["finish"][node])
            for node in nodes]  # fmt: skip
    outcomes, finals = judge(ends)
    changed = 0
    for node, outcome, final in zip(nodes, outcomes, finals, strict=True):
        changed += outcome != tree["outcome"][node]
        tree["outcome"][node], tree["final"][node] = outcome, final
    if changed and isinstance(tree.get("labels"), dict):
        tree["labels"] = without_sampled(tree["labels"])
    return {"tree": tree}, changed


def _graded(
    ends: list[tuple[str, str]], asked: tuple[str, str], grade: Grade, read: AnswerReader
) -> tuple[list[float | None], list[str | None]]:
    """Outcomes and answers of whole attempts, given their text and how they ended."""
    answer, problem = asked
    finals = [read(text).answer for text, _ in ends]
    whole = [
        final if finish == "stop" else None for (_, finish), final in zip(ends, finals, strict=True)
    ]
    return grade([(answer, final, problem) for final in whole]), finals
