"""Values with a name, as x = 5: the same as 5."""

from __future__ import annotations

import re

from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.values import (
    Assignment,
    Expression,
    Percentage,
    PlainNumber,
    Quantity,
    Several,
    Value,
)
from stepkit.text.splitting import split_top
from stepkit.text.verdicts import Verdict, open_question

NAME = re.compile(
    r"(?:\\?[A-Za-z]+(?:_(?:\w|\{[^{}]*\}))?'*"
    r"(?: ?\( ?[^()=]* ?\)| ?\^ ?\{-1\}\([^()=]*\))?|\([^()=]*\)"
    r"|\\text\{\w\}|[A-Za-z][A-Za-z ]*)"
)
SIGN = re.compile(r"\\[A-Za-z]+|.")
NUMERIC_SIGN = re.compile(r"[\d\s.,+*/()$^{}-]|\\(?:cdot|times|frac|sqrt)")


def read_assignment(form: str, read: Read) -> Value | None:
    """x = 5 with its name; 2 + 3 = 5 as 5."""
    parts = split_top(form, ("=",))
    if len(parts) < 2 or not all(part.strip() for part in parts) or "<" in form or ">" in form:
        return None
    name, value = parts[0].strip(), read(parts[-1])
    if NAME.fullmatch(name) and name not in ("e", "i", "\\pi"):
        return Assignment(form, name.replace(" ", ""), value)
    worked_out = all(NUMERIC_SIGN.fullmatch(sign) for sign in SIGN.findall(name))
    return value if worked_out and isinstance(value, (PlainNumber, Quantity, Percentage)) else None


def compare(a: Assignment, b: Value, comparison: AnswerComparison) -> Verdict | None:
    if isinstance(b, Assignment):
        if a.name == b.name or _is_label(a.name) or _is_label(b.name):
            return comparison.equal(a.value, b.value)
        whole = comparison.equal_formulas(a, b)
        return open_question("other names") if whole.same is False else whole
    if isinstance(b, Expression) and "=" in b.text:
        return comparison.equal_formulas(a, b)
    if isinstance(b, Several) and any(isinstance(one, Assignment) for one in b.items):
        return None
    return comparison.equal(a.value, b)


def _is_label(name: str) -> bool:
    """Whether it names what is asked for in words (Total = 5) rather than a variable."""
    return len(name) > 3 and name.isalpha()
