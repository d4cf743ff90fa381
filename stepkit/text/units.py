"""What words around numbers mean for arithmetic: units, and words that go with a number.

Where two units of one kind meet, as in 2 hours + 30 minutes = 150 minutes, plain arithmetic says
nothing.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of ``text``."""
    return frozenset(text.split())


KINDS = {
    "time": "second/seconds/sec/secs minute/minutes/min/mins hour/hours/hr/hrs day/days week/weeks"
    " month/months year/years/yr/yrs decade/decades century/centuries ms",
    "length": "mm/millimeter/millimeters cm/centimeter/centimeters/centimetres"
    " meter/meters/metre/metres km/kilometer/kilometers/kilometres inch/inches foot/feet/ft"
    " yard/yards/yd mile/miles/mi",
    "speed": "mph kph/kmh",
    "weight": "mg/milligrams gram/grams kg/kilogram/kilograms/kilos pound/pounds/lb/lbs"
    " ounce/ounces/oz ton/tons/tonnes",
    "volume": "ml/milliliter/milliliters liter/liters/litre/litres cup/cups pint/pints"
    " quart/quarts gallon/gallons",
    "money": "cent/cents penny/pennies/pence nickel/nickels dime/dimes quarter/quarters"
    " dollar/dollars/usd euro/euros/eur",
    "heat": "\u00b0c \u00b0f",
    "data": "bit/bits byte/bytes kb mb gb tb",
}
UNITS = {
    name: names.split("/")[0]
    for kind in KINDS.values()
    for names in kind.split()
    for name in names.split("/")
}
"""Every spelling -> the unit."""

_KIND = {names.split("/")[0]: kind for kind, all_ in KINDS.items() for names in all_.split()}

SCALES = words(
    "dozen hundred thousand million billion trillion k pair couple score percent half double twice"
    " triple"
)
"""They multiply the number before them."""

CONNECTING = words("per each of a an")
"""They may stand within a unit, as in miles per hour."""

NO_UNITS = words(
    "and or so then if when but is are was were be gives give equals equal makes make plus minus"
    " times divided multiplied by to from than as at with for let where since because thus hence"
    " therefore we he she it they this that which who i you our the more less now also not no only"
    " have has had get gets got left squared cubed mod modulo choose over into"
    " in on at all altogether together total"
)
"""Words that end an expression instead of naming what was counted."""

LEADING = words(
    "times plus minus by than from to over with less more twice thrice half third quarter double"
    " triple squared cubed power root log ln lg exp sin cos tan sec max min gcd lcm floor ceil abs"
    " mod modulo not if unless per x versus vs step day part case problem question example line"
    " equation exercise week month year chapter section no number option figure page round level"
    " item point team room minus negative and or remaining another"
)
"""Words before an expression that may belong to it."""

COUNTING = words(
    "half third quarter fourth fifth sixth tenth thirds quarters fifths twice double average mean"
    " sum product difference square root cube power multiple factor most rest remainder median"
    " quotient ratio percent percentage all dozen hundred thousand million each"
)
"""Words before "of" that make what follows a part of an expression."""

TRAILING = words(
    "r remainder rem mod modulo times plus minus squared cubed hundred thousand million billion"
    " dozen k point of and or to over percent half base multiplied divided x"
)
"""Words after a number that may belong to it."""


def convert(units: frozenset[str]) -> bool:
    """Whether plain arithmetic may be wrong because of these units: two of one kind, speeds next to
    times or lengths, or a word that multiplies."""
    kinds = [_KIND[unit] for unit in units if unit in _KIND]
    mixed = "speed" in kinds and ("time" in kinds or "length" in kinds)
    return mixed or len(kinds) > len(set(kinds)) or bool(units & SCALES)


def unit_of(word: str) -> str:
    """A unit in one spelling: its singular, in small letters."""
    word = word.lower().rstrip(".")
    if word in UNITS:
        return UNITS[word]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
