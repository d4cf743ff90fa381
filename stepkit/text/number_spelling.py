r"""Plain numbers in the spellings of people and models, as exact fractions.

1,234 = 1234.0; 1/2 = 0.5 = \frac{1}{2}; 3 1/2 = 3.5; 4.5 \times 10^{33} = 4.5e33; 0.\overline{3} =
1/3; "five"; $5 has its currency as a unit. Spaces may group thousands.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

LONGEST_NUMBER = 200  # characters

DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)"
POWER = (
    r"(?:[eE] ?(?P<e>[-+]?\d{1,4})|(?: ?(?:\\times|\\cdot|x|\*) ?)10 ?\^ ?"
    r"(?:\{ ?(?P<p>[-+]? ?\d{1,4}) ?\}|\(? ?(?P<q>[-+]?\d{1,4})\)?))"
)
DECIMAL = re.compile(
    rf"(?P<whole>{DIGITS})?(?:\.(?P<part>\d*)(?P<period>\\overline\{{ ?\d+ ?\}})?)?{POWER}?"
)
BARE_POWER = re.compile(r"10 ?\^ ?(?:\{ ?(?P<p>[-+]? ?\d{1,4}) ?\}|\(? ?(?P<q>[-+]?\d{1,4})\)?)")
FRACTION = re.compile(
    r"(?:(?P<whole>\d+)(?: |(?=\\)))?"  # the whole number of a mixed one
    r"(?:(?P<slash>\d[\d,]* ?/ ?\d[\d,]*)"
    r"|\\frac\{ ?(?P<top>-?[\d,.]+) ?\}\{ ?(?P<bottom>[\d,.]+) ?\})"
)
SIGN = re.compile(r"([-+]?) ?(.*?)", re.DOTALL)
SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "twenty",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
NUMBER_WORDS = {word: number for number, word in enumerate(SMALL)}
NUMBER_WORDS |= {word: 10 * number for number, word in enumerate(TENS, 2)}


class Number(NamedTuple):
    """A plain number; ``places`` counts its decimals (below 0 for 1.2e5), None when it was written
    as a fraction."""

    value: Fraction
    places: int | None


def number(text: str) -> Number | None:
    """The plain number that a normal form is, or None."""
    if len(text) > LONGEST_NUMBER or not text:
        return None
    if text.isdecimal():
        return Number(Fraction(int(text)), 0)
    if text[0].isalpha():
        return _in_words(text)
    signs = SIGN.fullmatch(text)
    body = signs[2] if signs else text
    found = _decimal(body) or _fraction(body)
    return Number(-found.value, found.places) if found and signs and signs[1] == "-" else found


def terminates(value: Fraction) -> bool:
    """Whether ``value`` has a finite number of decimals."""
    denominator = value.denominator
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1


def _decimal(text: str) -> Number | None:
    match = DECIMAL.fullmatch(text)
    if match is None or not (match["whole"] or match["part"] or match["period"]):
        bare = BARE_POWER.fullmatch(text)
        return Number(_tens(bare), None) if bare else None
    whole = re.sub("[ ,]", "", match["whole"] or "0")
    part, power = match["part"] or "", _exponent(match["e"] or match["p"] or match["q"])
    value = Fraction(int(whole + part), 10 ** len(part))
    if match["period"]:
        period = re.sub(r"\D", "", match["period"])
        value += Fraction(int(period), 10 ** len(part) * (10 ** len(period) - 1))
    scaled = value * Fraction(10) ** power if power else value
    return Number(scaled, None if match["period"] else len(part) - power)


def _tens(match: re.Match[str]) -> Fraction:
    return Fraction(10) ** _exponent(match["p"] or match["q"])


def _exponent(digits: str | None) -> int:
    return int(digits.replace(" ", "")) if digits else 0


def _fraction(text: str) -> Number | None:
    match = FRACTION.fullmatch(text)
    if match is None:
        return None
    top, _, bottom = (match["slash"] or "").replace(" ", "").partition("/")
    x, y = _plain(top or match["top"]), _plain(bottom or match["bottom"])
    if x is None or not y or (match["whole"] and x < 0):
        return None
    return Number(int(match["whole"] or 0) + x / y, None)


def _plain(digits: str) -> Fraction | None:
    digits = digits.replace(",", "").rstrip(".")
    return Fraction(digits) if re.fullmatch(r"-?\d+(?:\.\d+)?|-?\.\d+", digits) else None


def _in_words(text: str) -> Number | None:
    words = text.lower().replace("-", " ").split()
    values = [NUMBER_WORDS.get(word, -1) for word in words]
    tens_and_ones = len(values) == 2 and values[0] >= 20 and 0 < values[1] < 10
    if -1 in values or not (len(values) == 1 or tens_and_ones):
        return None
    return Number(Fraction(sum(values)), 0)
