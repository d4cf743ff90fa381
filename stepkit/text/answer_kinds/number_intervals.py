r"""Intervals and inequalities: equal in their ends and in what these belong to.

[1, 2), x \ge 3, x \in (1, 2). A pair in round brackets is an interval only against one.
"""

from __future__ import annotations

import re

from stepkit.text.answer_kinds.assignments import NAME
from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.values import Intervals, Sentence, Several, Value, Words
from stepkit.text.answer_spelling import key
from stepkit.text.number_sets import NumberSet, intervals_of, open_interval
from stepkit.text.verdicts import (
    DIFFERENT,
    SAME,
    Verdict,
    all_of,
    different,
    matched,
    open_question,
)

MEMBER = re.compile(r"(?P<name>[^=]*?) ?\\in (?P<of>.*)")
CONDITION = re.compile(r"[=<>]|\\(?:ne|le|ge|in|pm|mp|cup|cap|setminus|mathbb|dots)\b")


def read_intervals(form: str, read: Read) -> Value | None:
    member = MEMBER.fullmatch(form)
    if member and (NAME.fullmatch(member["name"].strip()) or not member["name"].strip()):
        return read(member["of"])
    found = intervals_of(form)
    return Intervals(form, found) if found else None


def compare(a: Intervals, b: Value, comparison: AnswerComparison) -> Verdict:
    other = _intervals(b)
    if other is not None:
        return _equal_unions(a.intervals, other, comparison)
    if isinstance(b, (Several, Sentence, Words)) or is_condition(b.text):
        return open_question("an interval against something else")
    return different("an interval against a single answer")


def is_condition(formula: str) -> bool:
    """Whether a formula may stand for more than one value."""
    return CONDITION.search(formula) is not None


def _intervals(value: Value) -> NumberSet | None:
    if isinstance(value, Intervals):
        return value.intervals
    if not isinstance(value, Several) or value.kind != "tuple" or len(value.items) != 2:
        return None
    low, high = value.items
    return open_interval(low.text, high.text) if value.text.startswith("(") else None


def _equal_unions(a: NumberSet, b: NumberSet, comparison: AnswerComparison) -> Verdict:
    if len(a.parts) != len(b.parts):
        return open_question("unions of other numbers of intervals")
    verdicts = [
        all_of(
            DIFFERENT if x.closed != y.closed else SAME,
            _equal_ends(x.low, y.low, comparison),
            _equal_ends(x.high, y.high, comparison),
        )
        for x in a.parts
        for y in b.parts
    ]
    return matched(len(a.parts), verdicts)


def _equal_ends(a: str, b: str, comparison: AnswerComparison) -> Verdict:
    if key(a) == key(b):
        return SAME
    if "\\infty" in a + b:
        return DIFFERENT
    return comparison.equal(comparison.read(a), comparison.read(b))
