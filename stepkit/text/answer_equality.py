r"""Whether two final answers are the same, where that needs no algebra.

Plain numbers are compared exactly: 1,234 = 1234.0, 1/2 = 0.5 = \frac12, 3 1/2 = 3.5, $5 = 5. Words
are compared as words, without case. Units are not guessed. Everything else is left to math-verify
(see stepkit.grade), but for what it is known to call equal and is not: numbers in other bases
(12_3, 12_4), times of day (6:30, 12:60), percentages (10% is neither 10 nor 0.1), and words with
the same letters (it multiplies them: listen, silent).
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from stepkit.text.answers import tidy

LONGEST_NUMBER = 200  # characters

REWRITES = [
    (re.compile(pattern), to)
    for pattern, to in (
        (r"\s+", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(?:left|right|displaystyle)\b|\\[!,;:]", ""),
        (r"\\ |~|\u00a0|\u2009|\u202f", " "),
        (r"\{,\}", ","),
        (r"\\([%$])", r"\1"),
        (r"\u2212", "-"),
        (r" *(?:%|\bper ?cent\b)", "%"),
        (r" +", " "),
    )
]
TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\{([^{}]*)\}")

DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)"
DECIMAL = re.compile(rf"(?P<whole>{DIGITS})?(?:\.(?P<part>\d*))?(?:[eE](?P<power>[-+]?\d{{1,3}}))?")
FRACTION = re.compile(
    r"(?:(?P<whole>\d+)(?: |(?=\\)))?"  # the whole number of a mixed one
    r"(?:(?P<slash>\d+ ?/ ?\d+)|\\frac ?(?:\{(?P<top>-?\d+)\}|(?P<top1>\d)) ?"
    r"(?:\{(?P<bottom>\d+)\}|(?P<bottom1>\d)))"
)
SIGN = re.compile(r"([-+]?) ?\$? ?([-+]?) ?(.*?) ?\$?")

CLOCK = re.compile(r"(\d{1,3}(?: ?: ?\d{1,3})+) ?([a-zA-Z. ]*)")
BASED = re.compile(r"(\d[0-9A-Fa-f]*) ?_ ?(?:\{ ?(\w+) ?\}|(\w))")
WORDS = re.compile(r"[^\W\d_]+(?:[ '\u2019-][^\W\d_]+)*")
OPTION = re.compile(r"\(?([A-Za-z])\)?")


class Number(NamedTuple):
    """A plain number; ``places`` counts its decimals, None when it was written as a fraction."""

    value: Fraction
    places: int | None


def quick(reference: str, final: str | None) -> bool | None:
    """True or False where that is sure, else None: math-verify is needed, or there is no answer.

    The order of the two does not matter.
    """
    if final is None:
        return None
    a, b = canonical(reference), canonical(final)
    if not a or not b:
        return None
    if a == b:
        return True
    if a.isdecimal() and b.isdecimal() and max(len(a), len(b)) <= LONGEST_NUMBER:
        return int(a) == int(b)  # most answers, and most questions of a vote
    for judge in (_percentages, _options, _words, _times, _bases, _numbers):
        verdict = judge(a, b)
        if verdict is not None:
            return verdict
    return None


@lru_cache(4096)
def canonical(answer: str) -> str:
    """``answer`` in one spelling of spaces, signs and fractions; its meaning is kept."""
    if answer.isalnum():
        return answer
    answer = tidy(answer)
    for pattern, to in REWRITES:
        answer = pattern.sub(to, answer)
    return TEXT_COMMAND.sub(r"\1", answer).strip()


def number(answer: str) -> Number | None:
    """The plain number that a canonical answer is, or None."""
    if len(answer) > LONGEST_NUMBER:
        return None
    signs = SIGN.fullmatch(answer)
    if signs is None or (signs[1] and signs[2]):
        return None
    found = _decimal(signs[3]) or _fraction(signs[3])
    negative = "-" in signs[1] + signs[2]
    return Number(-found.value, found.places) if found and negative else found


def _decimal(text: str) -> Number | None:
    match = DECIMAL.fullmatch(text)
    if match is None or not (match["whole"] or match["part"]):
        return None
    whole = re.sub("[ ,]", "", match["whole"] or "0")
    if match.end() == match.end("whole"):
        return Number(Fraction(int(whole)), 0)
    part, power = match["part"] or "", int(match["power"] or 0)
    return Number(Fraction(int(whole + part)) * Fraction(10) ** (power - len(part)), len(part))


def _fraction(text: str) -> Number | None:
    match = FRACTION.fullmatch(text)
    if match is None:
        return None
    top, _, bottom = (match["slash"] or "").partition("/")
    top = top or match["top"] or match["top1"]
    bottom = bottom or match["bottom"] or match["bottom1"]
    if not int(bottom) or (match["whole"] and int(top) < 0):
        return None
    return Number(int(match["whole"] or 0) + Fraction(int(top), int(bottom)), None)


def _numbers(a: str, b: str) -> bool | None:
    """Equal exactly. A decimal beside a fraction that has none (0.333333 and 1/3) is left open
    where it may be its rounding."""
    x, y = number(a), number(b)
    if x is None or y is None:
        return None
    if x.value != y.value and (x.places is None) != (y.places is None):
        fraction, decimal = (x, y) if x.places is None else (y, x)
        near = abs(x.value - y.value) < Fraction(1, 10 ** (decimal.places or 0))
        if near and not _terminates(fraction.value.denominator):
            return None
    return x.value == y.value


def _terminates(denominator: int) -> bool:
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1


def _percentages(a: str, b: str) -> bool | None:
    """A percentage equals the same percentage only."""
    if a.endswith("%") != b.endswith("%"):
        return False
    return _numbers(a[:-1], b[:-1]) if a.endswith("%") else None


def _options(a: str, b: str) -> bool | None:
    """Letters of a choice: (B) = B. Letters that differ in case alone are left open."""
    x, y = OPTION.fullmatch(a), OPTION.fullmatch(b)
    if x is None or y is None:
        return None
    if x[1] != y[1] and x[1].lower() == y[1].lower():
        return None
    return x[1] == y[1]


def _words(a: str, b: str) -> bool | None:
    return a.casefold() == b.casefold() if _are_words(a) and _are_words(b) else None


def _are_words(text: str) -> bool:
    """Words rather than a product of variables: three letters together, or two beyond ASCII."""
    least = 3 if text.isascii() else 2
    return bool(WORDS.fullmatch(text)) and max(map(len, re.split(r"[ '\u2019-]", text))) >= least


def _times(a: str, b: str) -> bool | None:
    """Times of day are equal digit by digit; 1:2 and 2:4 are ratios and left open."""
    x, y = CLOCK.fullmatch(a), CLOCK.fullmatch(b)
    parts = [[part.strip() for part in m[1].split(":")] for m in (x, y) if m]
    of_day = any(len(part[-1]) == 2 for part in parts)
    if x is None or y is None:
        other = b if y is None else a
        return False if of_day and number(other) else None
    if list(map(int, parts[0])) != list(map(int, parts[1])):
        return False if of_day else None
    halves = [re.sub("[. ]", "", m[2]).lower() for m in (x, y)]
    return True if halves[0] == halves[1] else False if all(halves) else None


def _bases(a: str, b: str) -> bool | None:
    """A numeral with a base equals the same digits in the same base; base ten is no base."""
    x, y = BASED.fullmatch(a), BASED.fullmatch(b)
    if x is None and y is None:
        return None
    digits = [m[1].lower() if m else None for m in (x, y)]
    bases = [(m[2] or m[3]).lower().replace("ten", "10") if m else "10" for m in (x, y)]
    if bases == ["10", "10"]:
        return _numbers(digits[0] or a, digits[1] or b)
    if None in digits:
        return False if number(a) or number(b) else None
    return digits[0] == digits[1] and bases[0] == bases[1]
