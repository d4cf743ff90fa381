"""Options on how answers are found, wherever they are graded; and the count of those missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from stepkit import schema
from stepkit.errors import DataError, UsageError
from stepkit.runner.options import F, stack

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.text.answers import AnswerReader

ANSWER_PARAMETERS = ("answer_pattern", "answer_rule", "answer_field")
NAMED = 3  # responses without an answer that are named


def answer_options(function: F) -> F:
    """--answer-pattern, --answer, --answer-field."""
    return stack(
        function,
        click.option(
            "--answer-pattern",
            metavar="REGEX",
            help="The answer is the last match of this: its first group, or all of it.",
        ),
        click.option(
            "--answer",
            "answer_rule",
            type=click.Choice(["last-number"]),
            help="The answer is the last number in the response.",
        ),
        click.option(
            "--answer-field",
            metavar="KEY",
            help="The field with the reference answer, where it has another name.",
        ),
        group="Answers",
    )


@dataclass(frozen=True)
class AnswerOptions:
    """How the answer of a response is found, and where the reference answer is.

    Attributes:
        pattern: a regular expression, or None.
        rule: a named rule, or None; with neither the order of text/answers.py.
        field: the field of the reference answer, or None for ``answer``.
    """

    pattern: str | None = None
    rule: str | None = None
    field: str | None = None

    def reader(self) -> AnswerReader:
        """What finds the answer."""
        from stepkit.text import answers

        if self.pattern is not None:
            return answers.pattern_reader(re.compile(self.pattern, re.MULTILINE))
        return answers.find_last_number if self.rule else answers.find

    def decides(self) -> dict[str, str]:
        """What a resume must agree on; nothing by default."""
        given = {"answer-pattern": self.pattern, "answer": self.rule, "answer-field": self.field}
        return {name: value for name, value in given.items() if value is not None}


def parse_answer_options(given: dict[str, Any]) -> AnswerOptions:
    """Take the options out of ``given``. Raises UsageError."""
    pattern, rule = given.pop("answer_pattern"), given.pop("answer_rule")
    if pattern is not None and rule is not None:
        raise UsageError("--answer-pattern and --answer exclude each other")
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise UsageError(f"--answer-pattern: no regular expression: {error}") from error
    return AnswerOptions(pattern, rule, given.pop("answer_field"))


def take_answer(record: Record, key: str | None) -> None:
    """Copy the field ``key`` to ``answer``. Raises DataError without it, or for another answer."""
    if key is None or key == "answer":
        return
    value: Any = record.data.get(key)
    if not schema.is_number(value):
        value = schema.text(record.data, key)
    if record.data.get("answer") not in (None, value):
        raise DataError(f'another answer than "{key}" is there; rename one', "answer")
    record.set("answer", value)


class UnansweredCount:
    """Counts responses in which no answer was found, for one line on standard error."""

    def __init__(self, what: str = "responses") -> None:
        self.total = self.missing = 0
        self._what = what
        self._names: list[str] = []

    def add(self, name: str, found: bool) -> None:
        self.total += 1
        if not found:
            self.missing += 1
            if name not in self._names:
                self._names.append(name)
                del self._names[NAMED:]

    def note(self) -> str:
        """The line; "" where nothing was looked for."""
        if not self.total:
            return ""
        names = ", ".join(self._names) + (", ..." if self.missing > len(self._names) else "")
        named = f": {names}" if self.missing else ""
        return f"{self.missing} of {self.total} {self._what} have no answer{named}"
