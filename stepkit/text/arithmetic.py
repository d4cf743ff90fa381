"""Are the sums in a text right? Every ``a + b = c`` of plain numbers, and what is wrong with it.

Checked are equations in running text, chains (``a = b = c``) link by link, and the calculator marks
of GSM8K (``<<48/2=24>>``), in exact arithmetic (expressions.py). A side next to a variable, a
function or an operator without a number is algebra, and the equation is not looked at. So is one
that computes nothing (5 km = 5000 m), and one with ratios, times, dates or code in it.

**Rounding.** A number given with d > 0 decimals is right if it is the other side's value rounded to
d decimals, ties either way. Cut off instead of rounded, or a whole number next to a value that is
not whole, it is left open: neither right nor wrong. After an "about" sign a number is right if it
is the value rounded at its last digit that is not 0, wrong if it is off by more than a tenth, else
open.

**No false alarms.** An equation that holds is right whatever it stands in. One that does not hold
is wrong only where no other reading is at hand; open are those with units that convert into each
other or that differ within a sum, after a word that may belong to it (twice 3 + 4, half of
10 + 2), and in a sentence about remainders, other bases, or what is assumed or called wrong.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from stepkit.text.arithmetic_tokens import (
    ABOUT,
    BREAK,
    CLOSE,
    EQUALS,
    LINE,
    NUMBER,
    OPEN,
    OPERATOR,
    OTHER,
    PERCENT,
    WORD,
    ArithmeticToken,
    tokens,
)
from stepkit.text.arithmetic_words import COUNTING, LEADING, NO_UNITS, TRAILING, need_conversion
from stepkit.text.expressions import NotAnExpression, Term, read
from stepkit.text.units import unit_of

MARK = re.compile(r"<<([^<>\n]*)>>")
MOST_TOKENS = 200
"""Of one side of an equation."""

DOUBTED = re.compile(
    r"""(?xi)\b(?:mod|modulo|base|binary|octal|hexadecimal|remainders?|congruent|wrong|incorrect
    |mistake|mistaken|mistakenly|incorrectly|wrongly|error|false|not\ equal|instead\ of|isn't
    |doesn't|rather\ than|should|suppose|assume|assuming|clock|o'clock|pretend|imagine|claims?
    |claimed|typo)\b|\u2261|\\pmod|\\equiv"""
)
VARIABLE = re.compile(
    r"""(?x) (?<![\w)])(?<![\w)%]\ ) [xX] (?!\w)  # after no number
    | (?<![A-Za-z]) [xX] (?!\w|\ ?[\d(.$])  # before none"""
)
"""An x that is no sign of multiplication."""
FOREIGN = re.compile(r"[^\W\d_a-zA-Z\u0370-\u03ff]")


LONGEST = 500
"""Bits of a number that is written out."""

SENTENCE_ENDS = (". ", "? ", "\n")
NEAR = 300
"""Characters around an equation that count as its sentence at most."""


class Equation(NamedTuple):
    """A link ``left = right`` that was read.

    Attributes:
        start, end: characters of the text.
        holds: True; False: it is wrong; None: open (see above).
        why: of a wrong one, what is wrong and the right value; else "".
    """

    start: int
    end: int
    holds: bool | None
    why: str


class EquationSide(NamedTuple):
    """A side of a link: its value, where it stands, and whether it may mean something else."""

    term: Term
    start: int
    end: int
    doubt: bool
    unit: str


def equations(text: str) -> list[Equation]:
    """The equations of plain numbers in ``text``, by where they end. Linear in it, but for what
    lies between two line ends."""
    found: list[Equation] = []
    for mark in MARK.finditer(text):
        found += _in_row(text, tokens(text, mark.start(1), mark.end(1)))
    prose = MARK.sub(lambda mark: " " * len(mark[0]), text)
    found += _in_row(prose, tokens(prose))
    return sorted(found, key=lambda one: (one.end, one.start))


def of_steps(steps: Sequence[str]) -> list[list[Equation]]:
    """The equations that end in each step; one may begin in an earlier step."""
    found: list[list[Equation]] = [[] for _ in steps]
    ends, length = [], 0
    for step in steps:
        length += len(step)
        ends.append(length)
    for equation in equations("".join(steps)):
        found[bisect_right(ends, equation.end - 1)].append(equation)
    return found


def _in_row(text: str, row: Sequence[ArithmeticToken]) -> Iterator[Equation]:
    variables = bool(VARIABLE.search(text))
    for start, end in _clauses(row):
        signs = [at for at in range(start, end) if row[at].kind in (EQUALS, ABOUT)]
        bounds = [start - 1, *signs, end]
        for number, sign in enumerate(signs):
            left = _ending(row, bounds[number] + 1, sign, first=not number)
            right = _beginning(row, sign + 1, bounds[number + 2])
            if left is None or right is None:
                continue
            if not (left.term.computed or right.term.computed):
                continue
            crossed = variables and "x" in text[left.start : right.end].lower()
            doubt = crossed or _doubted(text, left.start, right.end)
            yield _judged(text, left, right, row[sign].kind == ABOUT, doubt)


def _clauses(row: Sequence[ArithmeticToken]) -> Iterator[tuple[int, int]]:
    """Runs of tokens that hold an equals sign and no end of a clause. A line may begin with the
    sign and go on with the line before."""
    start, equal = 0, False
    for at, token in enumerate(row):
        goes_on = token.kind == LINE and at + 1 < len(row) and row[at + 1].kind in (EQUALS, ABOUT)
        if token.kind == BREAK or (token.kind == LINE and not goes_on):
            if equal:
                yield start, at
            start, equal = at + 1, False
        equal = equal or token.kind in (EQUALS, ABOUT)
    if equal:
        yield start, len(row)


def _ending(
    row: Sequence[ArithmeticToken], start: int, end: int, first: bool
) -> EquationSide | None:
    """The longest expression that ends before ``row[end]``, where its start allows one."""
    while end > start and row[end - 1].kind == LINE:
        end -= 1
    for at in range(max(start, end - MOST_TOKENS), end):
        token = row[at]
        if not (
            token.kind in (NUMBER, OPEN) or (token.kind == OPERATOR and token.text not in "*/^+")
        ):
            continue
        dashed = first and at == start and _is_spaced_sign(row, at)
        if dashed and _begins_line(row, at):
            continue
        try:
            term = read(row, at, end)
        except NotAnExpression:
            continue
        if term.end < end:
            continue
        doubt = _before(row, start, at, first)
        if doubt is None:
            return None
        return EquationSide(
            term, token.start, row[end - 1].end, dashed or doubt or term.doubt, term.unit
        )
    return None


def _is_spaced_sign(row: Sequence[ArithmeticToken], at: int) -> bool:
    """Is it a sign as a list's bullet would be: with a space after it?"""
    token = row[at]
    spaced = at + 1 < len(row) and row[at + 1].start > token.end
    return token.kind == OPERATOR and token.text in "-*+" and spaced


def _begins_line(row: Sequence[ArithmeticToken], at: int) -> bool:
    return not at or row[at - 1].kind == LINE


def _before(row: Sequence[ArithmeticToken], start: int, at: int, first: bool) -> bool | None:
    """Is it doubtful that an expression begins at ``row[at]``? None: it does not."""
    if at == start:
        return False
    token = row[at - 1]
    if token.kind == OPEN:
        return at - 1 > start and row[at - 2].end == token.start and row[at - 2].kind == WORD
    if token.kind == OPERATOR:
        bullet = first and _begins_line(row, at - 1) and _is_spaced_sign(row, at - 1)
        return False if bullet else None
    if token.kind in (NUMBER, CLOSE, PERCENT):
        return True
    if token.kind != WORD:
        return None
    word = token.text.lower()
    if token.end == row[at].start or word.startswith("\\") or re.search(r"[\d_]", word):
        return None
    if len(word) == 1 and word not in ("a", "i"):
        return None
    if word == "of":
        return _counts(row, start, at - 2)
    if word == "and":
        result = not first and at - 2 == start  # ... = 7 and 8 - 2 = 6
        return at - 2 >= start and not result and row[at - 2].kind in (NUMBER, PERCENT)
    return word in LEADING or bool(FOREIGN.search(word))


def _counts(row: Sequence[ArithmeticToken], start: int, at: int) -> bool:
    """Whether "of" after ``row[at]`` takes a part or a multiple of what follows."""
    if at < start or row[at].kind != WORD:
        return True
    word = row[at].text.lower()
    return word in COUNTING or (at > start and row[at - 1].kind in (NUMBER, PERCENT))


def _beginning(row: Sequence[ArithmeticToken], start: int, end: int) -> EquationSide | None:
    """The longest expression that begins at ``row[start]``, where its end allows one."""
    try:
        term = read(row, start, min(end, start + MOST_TOKENS))
    except NotAnExpression:
        return None
    last, doubt, unit = row[term.end - 1], term.doubt, term.unit
    if term.end < end:
        token = row[term.end]
        word = token.text.lower()
        if token.kind == OPERATOR:
            return None
        if token.kind == WORD:
            if word.startswith("\\") or (token.start == last.end and last.kind == NUMBER):
                return None
            doubt = doubt or word in TRAILING or bool(FOREIGN.search(word))
            unit = unit or ("" if word in NO_UNITS else unit_of(word))
        elif token.kind == OPEN:
            inside = row[term.end + 1] if term.end + 1 < end else None
            doubt = doubt or inside is None or inside.kind != WORD
        elif token.kind in (NUMBER, PERCENT, OTHER):
            doubt = True
    value = next(one for one in reversed(row[start : term.end]) if one.kind != WORD)
    return EquationSide(term, row[start].start, value.end, doubt, unit)


def _doubted(text: str, start: int, end: int) -> bool:
    """Does the sentence speak of what is not plain arithmetic, or not claimed?"""
    low, high = max(0, start - NEAR), min(len(text), end + NEAR)
    begin = max(low, *(text.rfind(mark, low, start) + 1 for mark in SENTENCE_ENDS))
    stops = [at for mark in SENTENCE_ENDS if (at := text.find(mark, end, high)) >= 0]
    return bool(DOUBTED.search(text, begin, min(stops, default=high)))


def _judged(
    text: str, left: EquationSide, right: EquationSide, about: bool, doubt: bool
) -> Equation:
    start, end = left.start, right.end
    verdicts = [_agree(left.term, right.term, about, bare=False)]
    if left.term.percent or right.term.percent:
        verdicts.append(_agree(left.term, right.term, about, bare=True))
    if True in verdicts:
        return Equation(start, end, True, "")
    doubt = doubt or left.doubt or right.doubt or _units_differ(left, right)
    if None in verdicts or doubt:
        return Equation(start, end, None, "")
    written = " ".join(text[start:end].split())
    return Equation(start, end, False, f"{written}: {_right(text, left, right)}")


def _units_differ(left: EquationSide, right: EquationSide) -> bool:
    if need_conversion(left.term.words | right.term.words | {left.unit, right.unit}):
        return True
    sums = [side.unit for side in (left, right) if side.term.computed and side.term.unit]
    return any(unit != other.unit for unit in sums for other in (left, right))


def _agree(left: Term, right: Term, about: bool, bare: bool) -> bool | None:
    """Whether two sides have the same value: True, False, or None where that is left open."""
    a, b = (term.bare if bare else term.value for term in (left, right))
    exact = left.exact and right.exact
    if a == b or (not exact and abs(a - b) * 10**20 <= 1 + abs(a)):
        return True
    if left.computed and right.computed:
        inexact = left.decimals or right.decimals or not exact
        return None if (about or inexact) and abs(a - b) * 100 <= abs(a) else False
    value, given, number = (a, b, right) if left.computed else (b, a, left)
    if about:
        return _about(value, given)
    if number.places is None:
        return False
    unit = Fraction(1, 100) if number.percent and not bare else Fraction(1)
    return _rounded(value / unit, given / unit, number.places)


def _rounded(value: Fraction, given: Fraction, places: int) -> bool | None:
    last = Fraction(1, 10**places)
    off = abs(value - given)
    if places and 2 * off <= last:
        return True
    cut = abs(given) < abs(value) if places else value.denominator > 1
    return None if cut and off < last else False


def _about(value: Fraction, given: Fraction) -> bool | None:
    last = Fraction(1)
    if given:
        while (given / last).denominator > 1 and last > Fraction(1, 10**30):
            last /= 10
        while (given / (10 * last)).denominator == 1:
            last *= 10
    if 2 * abs(value - given) <= last:
        return True
    return False if 10 * abs(value - given) > abs(value) else None


def _right(text: str, left: EquationSide, right: EquationSide) -> str:
    """The values of the sides, for people."""
    shares = left.term.percent and right.term.percent
    parts = [
        f"{' '.join(text[side.start : side.end].split())} is "
        + (f"{_number(side.term.value * 100)}%" if shares else _number(side.term.value))
        for side in (left, right)
        if side.term.computed
    ]
    return " and ".join(parts)


def _number(value: Fraction) -> str:
    """A fraction as a decimal where it ends soon, else with its first digits."""
    if max(abs(value.numerator), value.denominator).bit_length() > LONGEST:
        return "another number"
    if value.denominator == 1:
        return str(value.numerator)
    for places in range(1, 10):
        scaled = value * 10**places
        if scaled.denominator == 1:
            return _placed(scaled.numerator, places)
    return f"about {_placed(round(value * 10**6), 6)}"


def _placed(scaled: int, places: int) -> str:
    whole, part = divmod(abs(scaled), 10**places)
    digits = f"{whole}.{part:0{places}}".rstrip("0").rstrip(".")
    return f"-{digits}" if scaled < 0 else digits
