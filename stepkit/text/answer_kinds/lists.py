r"""Reads several answers: "3 and 5", "3; 5", 3 \pm 2, {3, 5}, (3, 5), and 2 hours and 30 minutes as
one quantity. several.py compares them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from stepkit.text.answer_kinds.comparison import Read
from stepkit.text.answer_kinds.values import (
    Assignment,
    Choice,
    PlainNumber,
    Quantity,
    Sentence,
    Several,
    Value,
    Words,
)
from stepkit.text.number_spelling import Number
from stepkit.text.splitting import split_top, wrapped
from stepkit.text.unit_conversion import Unit

COMPOUND_PART = re.compile(r"\d[\d.]* ?[A-Za-z]{2,}")
COMPOUND = re.compile(rf"{COMPOUND_PART.pattern}(?:,? (?:and )?{COMPOUND_PART.pattern})+")
SEPARATORS = (" and ", " or ", ",", ";")
PLUS_MINUS_SIGN = re.compile(r"\\(?:pm|mp)(?![A-Za-z])|\+/-|\+-")
PLUS_MINUS = re.compile(
    r"(?P<before>.*?) ?(?P<sign>\\pm|\\mp|\+/-|\+-) ?(?P<after>[^\\]*(?:\\(?!pm|mp)[^\\]*)*)"
)
CLOSING = {"\\{": "\\}", "\\langle": "\\rangle", "(": ")", "[": "]"}
SUCH_THAT = re.compile(r"\\mid|[|:]")
MOST_WORDS = 3  # of one of several answers in words


def read_list(form: str, read: Read) -> Value | None:
    parts = COMPOUND_PART.findall(form) if COMPOUND.fullmatch(form) else split_top(form, SEPARATORS)
    if len(parts) == 1:
        return _plus_minus(form, read)
    if len(parts) < 2 or not all(part.strip() for part in parts):
        return None
    items = _items(parts, read)
    if not _may_be_listed(items):
        return None
    names = {item.name for item in items if isinstance(item, Assignment)}
    if len(names) == 1:  # x = 3 or x = 5; x = 3, 5
        items = tuple(item.value if isinstance(item, Assignment) else item for item in items)
        return Assignment(form, names.pop(), Several(form, "list", items))
    return _summed(form, items) or Several(form, "list", items)


def read_bracketed(form: str, read: Read) -> Value | None:
    """A set in braces, a tuple in other brackets; (5) as 5."""
    opening = wrapped(form)
    if not opening:
        return None
    inner = form[len(opening) : -len(CLOSING[opening])].strip()
    if not inner:
        return Several(form, "set", ()) if opening == "\\{" else None
    parts = split_top(inner, (",", ";"))
    if opening == "\\{":
        return None if SUCH_THAT.search(inner) else Several(form, "set", _items(parts, read))
    if len(parts) == 1:
        return read(inner) if opening == "(" else None
    return Several(form, "tuple", _items(parts, read)) if all(map(str.strip, parts)) else None


def _items(parts: Sequence[str], read: Read) -> tuple[Value, ...]:
    """The parts, read; those of a list within are items too."""
    found: list[Value] = []
    for value in map(read, parts):
        found += value.items if isinstance(value, Several) and value.kind == "list" else [value]
    return tuple(found)


def _may_be_listed(items: tuple[Value, ...]) -> bool:
    """Whether they are answers, and no clauses of a sentence that commas join."""
    if any(isinstance(item, Sentence) for item in items):
        return False
    short_words = all(
        isinstance(item, (Words, Choice)) and len(item.text.split()) <= MOST_WORDS for item in items
    )
    return short_words or not any(isinstance(item, Words) for item in items)


def _summed(form: str, items: tuple[Value, ...]) -> Value | None:
    """2 hours and 30 minutes, as one quantity."""
    total, powers = Fraction(0), set()
    for item in items:
        if not (isinstance(item, Quantity) and isinstance(item.value, PlainNumber)):
            return None
        if item.unit.counted:
            return None
        total += item.value.number.value * item.unit.size
        powers.add((item.unit.powers, item.unit.size))
    if len({one for one, _ in powers}) != 1 or len(powers) != len(items):
        return None
    of = Unit(Fraction(1), powers.pop()[0], frozenset())
    return Quantity(form, PlainNumber(form, Number(total, None)), of, True)


def _plus_minus(form: str, read: Read) -> Value | None:
    match = PLUS_MINUS.fullmatch(form)
    several = len(PLUS_MINUS_SIGN.findall(form)) != 1
    if match is None or several or wrapped(form) or "=" in form:
        return None
    before, after = match["before"], match["after"]
    if before.count("(") != before.count(")") or before.count("{") != before.count("}"):
        return None
    signs = "+-" if match["sign"] != "\\mp" else "-+"
    items = (read(f"{before}{sign}{after}".lstrip("+")) for sign in signs)
    return Several(form, "list", tuple(items))
