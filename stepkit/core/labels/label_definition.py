"""What a label is made of: its name, source and function, and the parameters it can have."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple

from stepkit.core.labels.column_states import NUMBERS
from stepkit.core.labels.state_values import BACKUPS
from stepkit.errors import UsageError
from stepkit.schema import Json

Value = float | int | str | None


class LabelParameter(NamedTuple):
    """A parameter of a label: a number within bounds, or one of some words, or any text.

    A number without a default may be left out (None); a text that ``must`` be given has "".
    """

    name: str
    default: Value
    about: str
    low: float = -inf
    high: float = inf
    words: tuple[str, ...] = ()
    must: bool = False

    def read(self, text: str) -> Value:
        """The value that ``text`` stands for. Raises UsageError."""
        if isinstance(self.default, str):
            if not text or (self.words and text not in self.words):
                expected = f"one of {', '.join(self.words)}" if self.words else "a text"
                raise UsageError(f"{self.name}={text}: expected {expected}")
            return text
        kind = int if type(self.default) is int else float
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not self.low <= number <= self.high:
            whole = "a whole number" if kind is int else "a number"
            bounds = f" from {self.low:g}" if self.low > -inf else ""
            bounds += f" to {self.high:g}" if self.high < inf else ""
            raise UsageError(f"{self.name}={text}: expected {whole}{bounds}")
        return number


class LabelDefinition(NamedTuple):
    """A label: its name, its meaning, its source, and how its entry (without meta) is made.

    ``make`` gets the record's LabelInput and the parameters by name. ``backups`` are the values of
    a state that it can be made of; ``column`` is what a label or score must have to take their
    place: NUMBERS, COUNTS, INTERVAL, or "" where none can. ``needs`` is what else than the draws
    must be there, for people. ``no_interval`` is why it never has bounds, for ``meta.interval``;
    other labels say there what theirs are (label_intervals.py).
    """

    name: str
    about: str
    source: str
    make: Callable[..., Json]
    parameters: tuple[LabelParameter, ...] = ()
    backups: tuple[str, ...] = BACKUPS
    needs: str = ""
    column: str = NUMBERS
    no_interval: str = ""
