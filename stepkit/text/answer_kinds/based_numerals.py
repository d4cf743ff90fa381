"""Numerals with a base, as 12_3 and 12_{three}: digits and base are those of the other side."""

from __future__ import annotations

import re

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.values import BasedNumeral, PlainNumber, Value
from stepkit.text.answer_spelling import key
from stepkit.text.verdicts import SAME, Verdict, different, open_question

BASED = re.compile(r"(\d[0-9A-Fa-f]*) ?_ ?(?:\{ ?(\w+) ?\}|(\w+))")
NUMERALS = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
            "eight": "8", "nine": "9", "ten": "10", "twelve": "12", "sixteen": "16"}  # fmt: skip


def read_based_numeral(form: str, read: Read) -> Value | None:
    match = BASED.fullmatch(form)
    if match is None:
        return None
    base = (match[2] or match[3]).lower()
    return BasedNumeral(form, match[1].lower(), NUMERALS.get(base, base))


def compare(a: BasedNumeral, b: Value, comparison: AnswerComparison) -> Verdict | None:
    if isinstance(b, BasedNumeral):
        if a.digits == b.digits:
            return SAME if a.base == b.base else different("another base")
        return different("other digits") if a.base == b.base else open_question("other bases")
    if not isinstance(b, PlainNumber):
        return None
    if a.base == "10":
        return comparison.equal(comparison.read(a.digits), b)
    if key(b.text).lower() != a.digits:
        return different("other digits")
    asked = re.search(
        rf"base[ -]*\$?{re.escape(a.base)}\b|_\{{?{re.escape(a.base)}\b", comparison.problem
    )
    return SAME if asked else open_question("the base is left out")
