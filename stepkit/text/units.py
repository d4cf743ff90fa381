"""The table of units: their kinds, spellings and sizes."""

from __future__ import annotations

from fractions import Fraction

TABLE = (
    ("time", "time",
     "millisecond/milliseconds/ms=0.001 second/seconds/sec/secs=1 minute/minutes/min/mins=60"
     " hour/hours/hr/hrs=3600 day/days=86400 week/weeks=604800"),
    ("time", "months",
     "month/months=1 year/years/yr/yrs=12 decade/decades=120 century/centuries=1200"),
    ("length", "length",
     "nanometer/nanometers=1e-9 micrometer/micrometers=1e-6"
     " mm/millimeter/millimeters/millimetre/millimetres=0.001"
     " cm/centimeter/centimeters/centimetre/centimetres=0.01 decimeter/decimeters=0.1"
     " meter/meters/metre/metres=1 km/kilometer/kilometers/kilometre/kilometres=1000"
     " inch/inches=0.0254 foot/feet/ft=0.3048 yard/yards/yd=0.9144 mile/miles/mi=1609.344"),
    ("speed", "", "mph kph/kmh"),
    ("weight", "weight",
     "mg/milligram/milligrams=0.001 gram/grams=1 kg/kilogram/kilograms/kilos=1000"
     " tonne/tonnes=1e6 ounce/ounces/oz=28.349523125 pound/pounds/lb/lbs=453.59237 ton/tons"),
    ("volume", "volume", "ml/milliliter/milliliters=0.001 liter/liters/litre/litres=1"),
    ("volume", "cooking",
     "teaspoon/teaspoons=1 tablespoon/tablespoons=3 cup/cups=48 pint/pints=96 quart/quarts=192"
     " gallon/gallons=768"),
    ("money", "money",
     "cent/cents=0.01 penny/pennies/pence=0.01 nickel/nickels=0.05 dime/dimes=0.1 quarter/quarters"
     " dollar/dollars/usd=1"),
    ("money", "euros", "euro/euros/eur=1"),
    ("heat", "", "\u00b0c \u00b0f"),
    ("angle", "angle", "degree/degrees=1"),
    ("data", "data",
     "bit/bits=0.125 byte/bytes=1 kb=1e3 mb=1e6 gb=1e9 tb=1e12"),
    ("count", "count", "dozen=12"),
)  # fmt: skip
"""Of a row: the kind, the dimension, and its units as SPELLING/SPELLING=SIZE. The first spelling is
the unit's name; the size says how many of the dimension's own unit it is. Units of one kind and
other dimensions, as days and months, have no fixed ratio; a unit without a size is not converted.
"""

_UNITS = [
    (kind, dimension, *unit.partition("=")[::2])
    for kind, dimension, row in TABLE
    for unit in row.split()
]

UNITS = {name: names.split("/")[0] for _, _, names, _ in _UNITS for name in names.split("/")}
"""Every spelling -> the unit's name."""

KIND_OF = {names.split("/")[0]: kind for kind, _, names, _ in _UNITS}
"""The unit's name -> its kind."""

KIND_OF_DIMENSION = {dimension: kind for kind, dimension, _ in TABLE if dimension}

SIZE_OF = {
    names.split("/")[0]: (dimension, Fraction(size)) for _, dimension, names, size in _UNITS if size
}
"""The unit's name -> its dimension, and how many of the dimension's own unit it is."""


def words(text: str) -> frozenset[str]:
    """The words of ``text``."""
    return frozenset(text.split())


def unit_of(word: str) -> str:
    """A unit in one spelling: its singular, in small letters."""
    word = word.lower().rstrip(".")
    if word in UNITS:
        return UNITS[word]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
