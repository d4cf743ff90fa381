"""Words with numbers in them: the same as a number where that is the only one."""

from __future__ import annotations

import re

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.numbers import equal_numbers
from stepkit.text.answer_kinds.values import PlainNumber, Sentence, Value
from stepkit.text.number_spelling import number
from stepkit.text.verdicts import SAME, Verdict, open_question

WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}(?![A-Za-z])")
FUNCTIONS = frozenset({"sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "sqrt", "max", "min",
                       "gcd", "lcm", "mod", "arcsin", "arccos", "arctan"})  # fmt: skip
"""Words that stand in formulas."""

FORMULA = re.compile(r"\\begin|\\(?:left|frac\{[^}]*[a-z])")
NUMBER_IN_TEXT = re.compile(r"(?<![\w.^_{])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w^])")
BOUND = re.compile(
    r"\b(?:at (?:least|most)|(?:less|more|greater|fewer|other|larger|smaller) than|up to|over|under"
    r"|below|above|between|not|no|minimum|maximum|times)\b",
    re.IGNORECASE,
)
"""Words that make a number a bound, or another one."""


def read_sentence(form: str, read: Read) -> Value | None:
    words = [word for word in WORD.findall(form) if word.lower() not in FUNCTIONS]
    if not words or FORMULA.search(form):
        return None
    found = [number(match.lstrip("$")) for match in NUMBER_IN_TEXT.findall(form)]
    return Sentence(form, tuple({one.value: one for one in found if one}.values()))


def compare(a: Sentence, b: Value, comparison: AnswerComparison) -> Verdict | None:
    if not isinstance(b, PlainNumber):
        return None
    if len(a.numbers) != 1 or BOUND.search(a.text):
        return open_question("a sentence with other numbers than one")
    same = equal_numbers(b.number, a.numbers[0], comparison.problem).same
    return SAME if same else open_question("a sentence with another number")
