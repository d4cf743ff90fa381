"""The values that answers are read as, a class for each kind."""

from __future__ import annotations

from dataclasses import dataclass

from stepkit.text.number_sets import NumberSet
from stepkit.text.number_spelling import Number
from stepkit.text.unit_conversion import Unit


@dataclass(frozen=True)
class Value:
    """An answer that was read; ``text`` is its normal form."""

    text: str


@dataclass(frozen=True)
class PlainNumber(Value):
    number: Number


@dataclass(frozen=True)
class Percentage(Value):
    value: Value


@dataclass(frozen=True)
class Choice(Value):
    """A letter of a multiple choice, with the text of that choice or ""."""

    letter: str
    words: str


@dataclass(frozen=True)
class BasedNumeral(Value):
    """A numeral with a base, as 12_3."""

    digits: str
    base: str


@dataclass(frozen=True)
class TimeOfDay(Value):
    """``parts`` are hours, minutes and perhaps seconds; ``half`` is "am", "pm" or ""."""

    parts: tuple[int, ...]
    half: str


@dataclass(frozen=True)
class Ratio(Value):
    parts: tuple[PlainNumber, ...]


@dataclass(frozen=True)
class Matrix(Value):
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True)
class SequenceWithDots(Value):
    """What stands before the dots, and after."""

    before: tuple[Value, ...]
    after: tuple[Value, ...]


@dataclass(frozen=True)
class Several(Value):
    """Several answers: ``kind`` is list ("3 and 5"), set ({3, 5}) or tuple ((3, 5), <3, 5>)."""

    kind: str
    items: tuple[Value, ...]


@dataclass(frozen=True)
class Assignment(Value):
    """A value with a name, as x = 5."""

    name: str
    value: Value


@dataclass(frozen=True)
class Intervals(Value):
    """Intervals, written as such or as inequalities."""

    intervals: NumberSet


@dataclass(frozen=True)
class Quantity(Value):
    """A value with a unit; ``sure`` is false of a letter that may be a variable."""

    value: Value
    unit: Unit
    sure: bool


@dataclass(frozen=True)
class Words(Value):
    """Words without numbers and formulas."""


@dataclass(frozen=True)
class Sentence(Value):
    """Words with numbers in them."""

    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Expression(Value):
    """A formula."""
