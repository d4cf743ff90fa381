"""Quantities with a unit: it may be missing on one side, and is converted where both have one."""

from __future__ import annotations

import re

from stepkit.text.answer_kinds.answer_sentences import FUNCTIONS
from stepkit.text.answer_kinds.comparison import AnswerComparison, Read
from stepkit.text.answer_kinds.numbers import equal_numbers
from stepkit.text.answer_kinds.values import Expression, PlainNumber, Quantity, Sentence, Value
from stepkit.text.answer_kinds.words import WORDS
from stepkit.text.number_spelling import Number, number
from stepkit.text.unit_conversion import DOLLAR, Unit, have_no_ratio, may_convert, scaled, unit
from stepkit.text.verdicts import Verdict, different, open_question

UNIT_BEGIN = re.compile(
    r"(?<![\\A-Za-z])(?:[A-Za-z]{2,}|\\text\{[A-Za-z]\}|(?<=[\d}] )[mgshlLt](?![A-Za-z(=]))"
)
COMMAND = re.compile(r"\\(?!text\{)[A-Za-z]+|[=<>^_{}]")
MONEY = re.compile(
    r"(?P<sign>[-+]?) ?(?:\$|(?P<other>[\u20ac\u00a3\u00a5])|USD?) ?(?P<value>[-+]?[\d.\\].*)"
)
COINS = {"\u20ac": "euro", "\u00a3": "quid", "\u00a5": "yen"}


def read_money(form: str, read: Read) -> Value | None:
    money = MONEY.fullmatch(form)
    if money is None:
        return None
    value = read(money["sign"] + money["value"])
    if isinstance(value, Quantity):  # $5 per hour
        of = value.unit if dict(value.unit.powers).get("money") else _times_money(value.unit)
        return Quantity(form, value.value, of, True)
    sign = money["other"]
    coin = unit(COINS[sign]) if sign else DOLLAR
    known = coin is not None and isinstance(value, (PlainNumber, Expression))
    return Quantity(form, value, coin, True) if known else None  # type: ignore[arg-type]


def read_quantity(form: str, read: Read) -> Value | None:
    begin = UNIT_BEGIN.search(form)
    if begin is None or not begin.start() or begin[0].lower() in FUNCTIONS:
        return None
    head, tail = form[: begin.start()].strip(), form[begin.start() :]
    if head.count("{") != head.count("}") or head.count("(") != head.count(")"):
        return None
    glued = form[begin.start() - 1] not in " }" and "\\text" not in begin[0]
    value = read(head.rstrip("-"))
    unfinished = COMMAND.match(head[-1:]) and head[-1] != "}"
    if not isinstance(value, (PlainNumber, Expression)) or unfinished:
        return None
    factor, tail = scaled(tail)
    if factor > 1 and isinstance(value, PlainNumber):
        value = PlainNumber(form, Number(value.number.value * factor, None))
        if not tail:
            return value
    of = unit(tail)
    if of is None or (glued and not of.powers):
        return None
    sure = len(begin[0]) > 1
    return Quantity(form, value, of, sure) if of.powers or of.counted else value


def read_counted(form: str, read: Read) -> Value | None:
    """Three apples."""
    first, _, rest = form.partition(" ")
    count = number(first) if first.isalpha() and rest else None
    of = unit(rest) if count and WORDS.fullmatch(rest) else None
    return Quantity(form, PlainNumber(first, count), of, True) if count and of else None


def compare(a: Quantity, b: Value, comparison: AnswerComparison) -> Verdict | None:
    if isinstance(b, Quantity):
        return _equal_quantities(a, b, comparison)
    if isinstance(b, Sentence):
        return comparison.equal(a.value, b)
    if not isinstance(b, (PlainNumber, Expression)):
        return None
    verdict = comparison.equal(a.value, b)
    if verdict.same and not a.sure:
        return open_question("a letter that may be a unit or a variable")
    if verdict.same is False:
        return _in_another_unit(a, b) or verdict
    return verdict


def _in_another_unit(a: Quantity, b: Value) -> Verdict | None:
    """Open where the bare side may be the same in another unit: 120 for 2 hours."""
    if isinstance(a.value, PlainNumber) and isinstance(b, PlainNumber):
        if may_convert(a.unit, b.number.value, a.value.number.value):
            return open_question("it may be in another unit")
    elif dict(a.unit.powers).get("angle") and "\\pi" in b.text:
        return open_question("degrees against what may be radians")
    return None


def _equal_quantities(a: Quantity, b: Quantity, comparison: AnswerComparison) -> Verdict:
    x, y = a.unit, b.unit
    if x.powers == y.powers:
        verdict = _in_one_unit(a, b, comparison)
        counted = x.counted <= y.counted or y.counted <= x.counted
        if verdict.same and not counted:
            return open_question("two things are counted")
        return verdict
    values = comparison.equal(a.value, b.value)
    if values.same is None:
        return values
    if values.same is False and have_no_ratio(x, y):
        return open_question("units without a fixed ratio")
    part = set(x.powers) < set(y.powers) or set(y.powers) < set(x.powers)
    may_agree = values.same and (part or not (x.powers and y.powers))
    return open_question("two units") if may_agree else different("two units")


def _in_one_unit(a: Quantity, b: Quantity, comparison: AnswerComparison) -> Verdict:
    """Whether two quantities of the same dimensions are equal, whatever was counted."""
    if a.unit.size == b.unit.size:
        return comparison.equal(a.value, b.value)
    if isinstance(a.value, PlainNumber) and isinstance(b.value, PlainNumber):
        x, y = (Number(value.number.value * of.size, None)
                for value, of in ((a.value, a.unit), (b.value, b.unit)))  # fmt: skip
        return equal_numbers(x, y, comparison.problem)
    return open_question("formulas in two units")


def _times_money(of: Unit) -> Unit:
    return Unit(of.size, tuple(sorted((*of.powers, ("money", 1)))), of.counted)
