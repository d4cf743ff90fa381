"""Plain numbers: equal exactly; a decimal that may be the rounded other one is left open."""

from __future__ import annotations

import re
from fractions import Fraction

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.values import PlainNumber, Value
from stepkit.text.number_spelling import Number, number, terminates
from stepkit.text.verdicts import SAME, Verdict, different, open_question

ASKS_ROUND = re.compile(r"\bround|nearest|approximat|decimal place|significant", re.IGNORECASE)


def read_number(form: str, read: Read) -> Value | None:
    plain = number(form)
    return None if plain is None else PlainNumber(form, plain)


def compare(a: PlainNumber, b: Value, comparison: AnswerComparison) -> Verdict | None:
    if not isinstance(b, PlainNumber):
        return None
    return equal_numbers(a.number, b.number, comparison.problem)


def equal_numbers(a: Number, b: Number, problem: str) -> Verdict:
    if a.value == b.value:
        return SAME
    places = [one.places for one in (a, b) if one.places is not None]
    if not places or (a.places is not None and a.places == b.places):
        return different("another number")
    coarse = min(places)
    rounded = a if a.places == coarse else b
    other = b if rounded is a else a
    if other.places is None and terminates(other.value) and not ASKS_ROUND.search(problem):
        return different("another number")
    if coarse == 0 and not ASKS_ROUND.search(problem):
        return different("another number")
    near = abs(a.value - b.value) < Fraction(10) ** -coarse
    return open_question("one may be rounded") if near else different("another number")
