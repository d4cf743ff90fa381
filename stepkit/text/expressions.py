r"""Arithmetic as people write it in prose: its tokens, and the value of an expression of numbers.

Read are + - * / ^ in their spellings (arithmetic_tokens.py), roots, parentheses, 2(3 + 4), 20% of
50, 3 x 4, currency signs and units. Values are exact fractions; only the root of what is no square
is a decimal of ROOT_DIGITS.

A variable, a function or anything else that is not a number makes an expression Unreadable: that is
algebra, and not for this module. What may well mean something else (``-2^2``, ``6/2(3)``,
pages 10-15) is read in the usual way, with ``doubt``. Nothing here is evaluated by Python.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isqrt

from stepkit.text.arithmetic_tokens import (
    CLOSE,
    DEGREE,
    FRACTION,
    NUMBER,
    OPEN,
    OPERATOR,
    PERCENT,
    POWER,
    ROOT,
    WORD,
    ArithmeticToken,
)
from stepkit.text.arithmetic_words import CONNECTING, NO_UNITS
from stepkit.text.units import UNITS, unit_of

LARGEST_POWER = 4096  # bits
DEEPEST = 40  # parentheses
ROOT_DIGITS = 40


class NotAnExpression(ValueError):
    """This is no expression of plain numbers."""


@dataclass(frozen=True)
class Term:
    """An expression that was read.

    Attributes:
        value: with every percentage as a hundredth. bare: with the percent sign as a mere label.
        exact: no root was rounded.
        computed: something was added, multiplied and so on.
        places: decimals of a number as it was written; None of a fraction or of what is computed.
        decimals: a number in it has decimals.
        percent: a percent sign is in it.
        unit: the unit of a sum whose parts have it; "" without one, or of a product.
        words: all units in it, in one spelling.
        part: it is a part of what follows "of", which may go on after it: 1/2 of 10 + 2.
        doubt: it may mean something else.
        end: index of the token after it.
    """

    value: Fraction
    bare: Fraction
    exact: bool = True
    computed: bool = False
    places: int | None = None
    decimals: bool = False
    percent: bool = False
    unit: str = ""
    words: frozenset[str] = frozenset()
    part: bool = False
    doubt: bool = False
    end: int = 0


SUM, PRODUCT, MINUS, EXPONENT = 10, 20, 25, 30
BINDING = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "^": EXPONENT}
MOST_WORDS = 4


def read(row: Sequence[ArithmeticToken], start: int, end: int) -> Term:
    """The longest expression that begins at ``row[start]``, before ``row[end]``.

    Raises Unreadable where an operand is missing or is no number.
    """
    reader = _PrattParser(row, start, end)
    term = reader.expression(0)
    return replace(term, end=reader.at)


class _PrattParser:
    """A Pratt parser (top-down operator precedence, 1973) over a row of tokens."""

    def __init__(self, row: Sequence[ArithmeticToken], at: int, end: int) -> None:
        self.row, self.at, self.end = row, at, end
        self._depth = 0

    def expression(self, binding: int) -> Term:
        start = self.at
        left = self._operand()
        while (sign := self._infix()) and BINDING[sign[0]] > binding:
            operator, written = sign
            tight, part = self._tight(), self.row[self.at].text == "of"
            self.at += written
            stronger = BINDING[operator] - (operator == "^")
            right = self.expression(stronger)
            left = _combined(operator, left, right)
            spread = operator == "-" and tight and left.value <= 0
            divided = not written and any(one.text == "/" for one in self.row[start : self.at])
            if spread or divided or part:
                left = replace(left, part=part, doubt=left.doubt or spread or divided)
        return left

    def _peek(self, ahead: int = 0) -> ArithmeticToken | None:
        at = self.at + ahead
        return self.row[at] if at < self.end else None

    def _infix(self) -> tuple[str, int] | None:
        """The operator here, and how many tokens it is written with: 0 for 2(3 + 4)."""
        token = self._peek()
        if token is None:
            return None
        if token.kind == OPERATOR and token.text in BINDING:
            return token.text, 1
        following = self._peek(1)
        if following is not None and following.kind in (NUMBER, OPEN):
            if token.kind == WORD and token.text in ("x", "X"):
                return "*", 1
            before = self.row[self.at - 1]
            if (
                token.kind == WORD
                and token.text == "of"
                and (before.kind == PERCENT or self._fraction_before())
            ):
                return "*", 1
        if token.kind == OPEN and self.at and self.row[self.at - 1].end == token.start:
            return "*", 0
        return None

    def _fraction_before(self) -> bool:
        row, at = self.row, self.at
        slashed = at >= 3 and row[at - 2].text == "/" and row[at - 3].kind == NUMBER
        return row[at - 1].kind == NUMBER and (slashed or row[at - 1].places is None)

    def _tight(self) -> bool:
        """Is the operator here written without spaces?"""
        sign, following = self.row[self.at], self._peek(1)
        close = self.row[self.at - 1].end == sign.start
        return close and following is not None and following.start == sign.end

    def _operand(self) -> Term:
        token = self._peek()
        if token is None:
            raise NotAnExpression
        self.at += 1
        if token.kind == NUMBER:
            value = token.value
            decimals = bool(token.places)
            term = Term(value, value, places=token.places, decimals=decimals)
            return self._measured(replace(term, words=frozenset({"dollar"} if token.money else ())))
        if token.kind == OPEN:
            return self._measured(self._group(token))
        if token.kind == OPERATOR and token.text == "-":
            term = self.expression(MINUS)
            negative = replace(term, value=-term.value, bare=-term.bare)
            powered = term.computed and self.row[self.at - 1].kind != CLOSE
            return replace(negative, doubt=term.doubt or powered)
        if token.kind == OPERATOR and token.text == ROOT:
            return _root(self.expression(EXPONENT))
        if token.kind == OPERATOR and token.text == FRACTION:
            return self._measured(_combined("/", self._braced(), self._braced()))
        raise NotAnExpression

    def _braced(self) -> Term:
        token = self._peek()
        if token is None or token.text != "{":
            raise NotAnExpression
        self.at += 1
        return self._group(token)

    def _group(self, opening: ArithmeticToken) -> Term:
        self._depth += 1
        if self._depth > DEEPEST:
            raise NotAnExpression
        term = self.expression(0)
        closing = self._peek()
        if closing is None or closing.kind != CLOSE:
            raise NotAnExpression
        if (opening.text == "{") != (closing.text == "}"):
            raise NotAnExpression
        self.at += 1
        self._depth -= 1
        return term

    def _measured(self, term: Term) -> Term:
        """What may stand after an operand: powers, a percent sign, and what was counted."""
        token = self._peek()
        if token is not None and token.kind == POWER:
            self.at += 1
            term = _combined("^", term, Term(token.value, token.value))
            token = self._peek()
        if token is not None and token.kind == PERCENT:
            self.at += 1
            return replace(term, value=term.value / 100, percent=True)
        if token is not None and token.kind == WORD:
            return self._counted(term)
        return term

    def _counted(self, term: Term) -> Term:
        """Take the words after a number in, where they are its unit and no sentence goes on."""
        words: list[str] = []
        ahead = 0
        while (token := self._peek(ahead)) is not None and token.kind == WORD:
            if self._is_sign(ahead) or token.text.lower() in NO_UNITS:
                break
            if not _is_unit(token, self.row[self.at + ahead - 1]):
                raise NotAnExpression
            words.append(token.text)
            ahead += 1
            slash, below = self._peek(ahead), self._peek(ahead + 1)
            if slash is not None and slash.text == "/" and below is not None and below.kind == WORD:
                if len(below.text) < 2 or below.text.lower() in NO_UNITS:
                    raise NotAnExpression
                words.append(below.text)
                ahead += 2
            ahead += 2 if self._is_squared(ahead) else 0
        token = self._peek(ahead)
        sign = token is not None and (token.kind == OPERATOR or self._is_sign(ahead))
        stands = token is None or sign or token.kind == CLOSE
        if not words or not stands or len(words) > MOST_WORDS:
            return term
        self.at += ahead
        named = frozenset(unit_of(word) for word in words if word not in CONNECTING)
        return replace(term, unit=unit_of(words[0]), words=term.words | named)

    def _is_squared(self, ahead: int) -> bool:
        """Is there a power here that belongs to the unit before it, as in cm^2?"""
        power, number = self._peek(ahead), self._peek(ahead + 1)
        return (
            power is not None
            and power.text == "^"
            and number is not None
            and (number.text in ("2", "3"))
        )

    def _is_sign(self, ahead: int) -> bool:
        token, following = self._peek(ahead), self._peek(ahead + 1)
        numeric = following is not None and following.kind in (NUMBER, OPEN)
        return token is not None and token.text in ("x", "X") and numeric


def _is_unit(token: ArithmeticToken, before: ArithmeticToken) -> bool:
    """Could the word be a unit? A letter alone, a command or a word grown together with a number
    is a variable; so is one with digits."""
    text = token.text
    if text in CONNECTING:
        return True
    if (len(text) < 2 and text != DEGREE) or text.startswith("\\") or re.search(r"[\d_]", text):
        return False
    grown = before.end == token.start and before.kind == NUMBER
    return not grown or text.lower() in UNITS or text[0] == DEGREE


def _combined(operator: str, left: Term, right: Term) -> Term:
    value = _applied(operator, left.value, right.value)
    bare = _applied(operator, left.bare, right.bare)
    adds = operator in "+-"
    percent = left.percent or right.percent
    doubt = left.doubt or right.doubt
    unit = ""
    if adds:
        doubt = doubt or left.part or right.part or left.percent != right.percent
        doubt = doubt or bool(left.unit and right.unit and left.unit != right.unit)
        unit = left.unit or right.unit
    return Term(
        value,
        bare,
        exact=left.exact and right.exact,
        computed=True,
        decimals=left.decimals or right.decimals,
        percent=percent,
        unit=unit,
        words=left.words | right.words,
        doubt=doubt,
    )


def _applied(operator: str, a: Fraction, b: Fraction) -> Fraction:
    if operator == "+":
        return a + b
    if operator == "-":
        return a - b
    if operator == "*":
        return a * b
    if operator == "/":
        if not b:
            raise NotAnExpression
        return a / b
    if b == Fraction(1, 2):
        return _square_root(a)[0]
    if b.denominator != 1 or (not a and b <= 0):
        raise NotAnExpression
    size = max(abs(a.numerator).bit_length(), a.denominator.bit_length())
    if size * abs(b.numerator) > LARGEST_POWER:
        raise NotAnExpression
    return a ** int(b)


def _root(term: Term) -> Term:
    value, exact = _square_root(term.value)
    bare, _ = _square_root(term.bare)
    return replace(
        term, value=value, bare=bare, exact=term.exact and exact, computed=True, places=None
    )


def _square_root(value: Fraction) -> tuple[Fraction, bool]:
    """The root, and whether it is exact. Raises Unreadable for a negative value."""
    if value < 0:
        raise NotAnExpression
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom), True
    scale = 10**ROOT_DIGITS
    return Fraction(isqrt(int(value * scale * scale)), scale), False
