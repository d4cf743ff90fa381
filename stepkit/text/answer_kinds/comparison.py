"""What the kinds need from whoever calls them: parts are read, and compared, as wholes are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from stepkit.text.answer_kinds.values import Value
from stepkit.text.verdicts import Verdict

Read = Callable[[str], Value]
"""Reads a part of an answer, in normal form."""


class AnswerComparison(Protocol):
    """Compares values under what one problem asks for."""

    problem: str

    def read(self, form: str) -> Value:
        """The value of a normal form."""

    def equal(self, a: Value, b: Value) -> Verdict:
        """Whether two values of any kinds are the same."""

    def equal_formulas(self, a: Value, b: Value) -> Verdict:
        """Whether they are the same as formulas, which algebra may have to decide."""
