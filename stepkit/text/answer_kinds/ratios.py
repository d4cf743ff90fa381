"""Ratios, as 3:4: 6:8 is the same, and 3/4 where the problem asks for a ratio."""

from __future__ import annotations

import re

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.values import PlainNumber, Ratio, Value
from stepkit.text.verdicts import SAME, Verdict, different, open_question

RATIO = re.compile(r"[^\s:]+(?: ?: ?[^\s:]+)+")
ASKS_RATIO = re.compile(r"\bratio\b|\bodds\b", re.IGNORECASE)


def read_ratio(form: str, read: Read) -> Value | None:
    if ":" not in form or not RATIO.fullmatch(form):
        return None
    values = [read(part) for part in form.split(":")]
    parts = tuple(value for value in values if isinstance(value, PlainNumber))
    return Ratio(form, parts) if len(parts) == len(values) else None


def compare(a: Ratio, b: Value, comparison: AnswerComparison) -> Verdict:
    if isinstance(b, Ratio):
        return equal_ratios(a, b)
    if isinstance(b, PlainNumber):
        return equals_quotient(a, b, comparison)
    return open_question("a ratio against something else")


def equal_ratios(a: Ratio, b: Ratio) -> Verdict:
    x, y = ([part.number.value for part in one.parts] for one in (a, b))
    if len(x) != len(y):
        return different("ratios of other lengths")
    same = all(x[0] * d == c * y[0] for c, d in zip(x, y, strict=True))
    return SAME if same else different("another ratio")


def equals_quotient(a: Ratio, b: PlainNumber, comparison: AnswerComparison) -> Verdict:
    """A ratio against one number."""
    parts = [part.number.value for part in a.parts]
    if len(parts) != 2 or not parts[1] or parts[0] != parts[1] * b.number.value:
        return different("another ratio")
    asked = ASKS_RATIO.search(comparison.problem)
    return SAME if asked else open_question("a ratio against a number")
