"""Percentages: they equal a bare number only where the problem asks for a percentage."""

from __future__ import annotations

import re

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.values import Expression, Percentage, PlainNumber, Quantity, Value
from stepkit.text.verdicts import SAME, Verdict, different, open_question

PERCENT = re.compile(
    r"(?P<value>.*[\d}\])]) ?%(?: (?:of|more|less|in|per|increase|decrease|chance|off)\b.*)?"
)
ASKS_PERCENT = re.compile(r"percent|per cent|\\?%[^.?!]*\?", re.IGNORECASE)


def read_percentage(form: str, read: Read) -> Value | None:
    match = PERCENT.fullmatch(form)
    return Percentage(form, read(match["value"])) if match else None


def compare(a: Percentage, b: Value, comparison: AnswerComparison) -> Verdict | None:
    if isinstance(b, Percentage):
        return comparison.equal(a.value, b.value)
    if isinstance(b, Quantity):
        return different("a percentage against a quantity")
    if not isinstance(b, (PlainNumber, Expression)):
        return None
    bare = comparison.equal(a.value, b)
    if bare.same and ASKS_PERCENT.search(comparison.problem):
        return SAME
    if bare.same:
        return open_question("a percent sign on one side, and the problem asks for no percentage")
    if isinstance(a.value, PlainNumber) and isinstance(b, PlainNumber):
        if a.value.number.value == 100 * b.number.value:
            return open_question("a percentage against a share")
        return bare
    return open_question("a percentage against a formula") if bare.same is False else bare
