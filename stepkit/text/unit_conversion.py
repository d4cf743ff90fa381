r"""Units of answers: what a number counts or measures, and how units convert into each other.

A unit is a product of powers of dimensions and of what was counted: 5 km/h is length 1 and time -1,
12 apples counts "apple". Spellings and sizes are those of units.py.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from stepkit.text.units import KIND_OF, KIND_OF_DIMENSION, SIZE_OF, unit_of, words

SPEEDS = {"mph": ("mile", "hour"), "kph": ("km", "hour")}
SYMBOLS = {"m": "meter", "g": "gram", "s": "second", "h": "hour", "l": "liter", "L": "liter",
           "t": "tonne"}  # fmt: skip
"""Units of one letter."""

FILLERS = words(
    "each more left in total altogether the a an away long tall old all remaining only just about"
    " wide high deep away apart extra additional other different whole full per-day now of to go"
    " is was are were be were will would approximately around exactly spent worth back minutes-long"
    " earlier later older younger longer faster less fewer ago further times"
)
POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cubed": 3, "cu": 3}
TOKEN = re.compile(
    r"(?P<letter>\\text\{\w\})|(?P<word>[^\W\d_]+(?:'s|')?)|\^ ?\{?(?P<power>-?\d)\}?"
    r"|(?P<slash>/)|[-.,~ ]+"
)
INCH = re.compile(r"\bin\b\.?(?= ?\^|$)")
METERS_PER_SECOND = re.compile(r"\bms(?= ?\^ ?\{? ?-)")  # ms^{-1}, ms^{-2}
CLAUSE = re.compile(
    r"(?<=\s)(?:of|on|for|from|at|with|by|who|that|which|if|when)\s|\s?\("
    r"|(?<=\w\s)and\s(?!an?\b|half\b|\d)"
)
CHANGING = words(
    "squared cubed factorial hundred thousand million billion trillion half third quarter and or"
    " plus minus divided multiplied by mod modulo choose over percent with remainder r"
)
"""Words after a number that change it."""

THOUSANDS = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9,
             "trillion": 10**12, "dozen": 12, "k": 1000}  # fmt: skip


class Unit(NamedTuple):
    """``size``: how many of the dimensions' own units; ``powers``: (dimension, power), sorted;
    ``counted``: the other words, in the singular."""

    size: Fraction
    powers: tuple[tuple[str, int], ...]
    counted: frozenset[str]


DOLLAR = Unit(Fraction(1), (("money", 1),), frozenset())


def unit(text: str) -> Unit | None:
    """The unit that ``text`` names; None where it is no unit."""
    size, powers, counted = Fraction(1), dict[str, int](), set[str]()
    at, sign, ahead, last = 0, 1, 1, ""
    text = METERS_PER_SECOND.sub("m s", INCH.sub("inch", CLAUSE.split(text)[0]))
    while at < len(text):
        token = TOKEN.match(text, at)
        if token is None:
            return None
        at = token.end()
        word = (token["word"] or "").lower()
        if token["slash"] or word == "per":
            sign = -1
            continue
        if token["power"] or (word in ("squared", "cubed") and last):
            times = (int(token["power"]) if token["power"] else POWERS[word]) - 1
            if last not in SIZE_OF:
                return None
            size = _times(size, powers, last, sign * times)
            continue
        if word in POWERS:
            ahead = POWERS[word]
            continue
        if token["letter"]:
            word = SYMBOLS.get(token["letter"][6], token["letter"][6])
        elif word in SYMBOLS and len(word) == 1:
            word = SYMBOLS[word]
        if not word or word in FILLERS:
            continue
        if word in CHANGING and word not in SIZE_OF:
            return None
        last = unit_of(word.removesuffix("'s").removesuffix("'"))
        for name in SPEEDS.get(last, (last,)) if last in SPEEDS else (last,):
            power = ahead * (-1 if last in SPEEDS and name == "hour" else sign)
            if name in SIZE_OF:
                size = _times(size, powers, name, power)
            else:
                counted.add(("/" if power < 0 else "") + name)
        ahead = 1
    return Unit(size, tuple(sorted((k, v) for k, v in powers.items() if v)), frozenset(counted))


def _times(size: Fraction, powers: dict[str, int], name: str, power: int) -> Fraction:
    """``size`` times that of a unit to a power, which goes to its dimension in ``powers``."""
    dimension, one = SIZE_OF[name]
    powers[dimension] = powers.get(dimension, 0) + power
    return size * one**power


def scaled(text: str) -> tuple[int, str]:
    """The factor in words that ``text`` begins with ("million dollars"), and the rest."""
    word, _, rest = text.partition(" ")
    factor = THOUSANDS.get(word.lower())
    return (factor, rest) if factor else (1, text)


def may_convert(a: Unit, b: Fraction, value: Fraction) -> bool:
    """Whether the bare number ``b`` can be ``value`` of unit ``a`` in another unit of its kind."""
    if len(a.powers) != 1:
        return False
    ((dimension, power),) = a.powers
    sizes = (one for kind, one in SIZE_OF.values() if kind == dimension)
    return any(value * a.size == b * one**power for one in sizes)


def have_no_ratio(a: Unit, b: Unit) -> bool:
    """Whether both measure the same kind in units that do not convert, as days and months."""
    kinds = _kinds(a)
    return a.powers != b.powers and bool(kinds) and kinds == _kinds(b)


def _kinds(of: Unit) -> frozenset[tuple[str, int]]:
    """The kinds that a unit is made of, with their powers."""
    named = ((name.removeprefix("/"), -1 if name.startswith("/") else 1) for name in of.counted)
    return frozenset(
        [
            *((KIND_OF_DIMENSION[dimension], power) for dimension, power in of.powers),
            *((KIND_OF[name], power) for name, power in named if name in KIND_OF),
        ]
    )
