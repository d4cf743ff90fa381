"""The rules for the first error (--first): name, what it means, its source, its parameter.

A rule is asked for as ``NAME`` or ``NAME:NUMBER`` and makes the label ``first``, of draws or of a
column. Adding one is adding a function of StateValues (first_error.py) and a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isfinite
from typing import NamedTuple

from stepkit import schema
from stepkit.core import trace
from stepkit.core.columns import find_column
from stepkit.core.labels import first_error
from stepkit.core.labels.column_states import COUNTS, NUMBERS, ColumnSource, step_states
from stepkit.core.labels.state_values import StateValues
from stepkit.errors import DataError, UsageError
from stepkit.schema import Json


class RuleParameter(NamedTuple):
    """The number of a rule: ``above`` < number <= ``most``; without a default it must be given."""

    name: str
    about: str
    default: float | None = None
    above: float = -inf
    most: float = inf

    def holds(self, number: float) -> bool:
        """Is the number one that the parameter can be?"""
        return isfinite(number) and self.above < number <= self.most

    @property
    def bounds(self) -> str:
        return "" if self.above == -inf else f" with {self.above:g} < {self.name} <= {self.most:g}"


class FirstErrorRule(NamedTuple):
    """A rule: its name, what it calls the first error, its source, and its functions.

    Attributes:
        of_draws: makes the entry of ``labels.first`` (without what all rules write) of a trace's
            StateValues and, if the rule has one, the parameter; None for a rule that takes what a
            column says of itself.
        parameter: its number.
        column: what a label or score must have for it: column_states.NUMBERS, COUNTS, or "" where
            the rule cannot be had from one.
        of_score: a trace without a tree is read by its only score, unasked.
        any_stop: it is as good of draws that were stopped by a rule that looked at them. A rule
            that compares values is not: an unbiased value from such draws is right on average only.
    """

    name: str
    about: str
    source: str
    of_draws: Callable[..., Json] | None
    parameter: RuleParameter | None = None
    column: str = NUMBERS
    of_score: bool = False
    any_stop: bool = True

    @property
    def usage(self) -> str:
        """How it is spelled: ``zero``, ``drop:RHO``, ``posterior[:P]``."""
        if self.parameter is None:
            return self.name
        number = f":{self.parameter.name}"
        return self.name + (number if self.parameter.default is None else f"[{number}]")

    @property
    def bounded_usage(self) -> str:
        """The same in full, for who spelled it wrong: ``drop:RHO with 0 < RHO <= 1``."""
        if self.parameter is None:
            return self.name
        alone = "" if self.parameter.default is None else f"{self.name}, "
        return f"{alone}{self.name}:{self.parameter.name}{self.parameter.bounds}"


RULES = (
    FirstErrorRule(
        "zero",
        "the first value 0 after a state with a value above 0",
        "OmegaPRM, 2406.06592",
        first_error.zero,
    ),
    FirstErrorRule(
        "drop",
        "the first value below a part of the root's",
        "our own",
        first_error.drop,
        RuleParameter("RHO", "the part", above=0, most=1),
        any_stop=False,
    ),
    FirstErrorRule(
        "below",
        "the first value, or number of --from, below a threshold",
        "ProcessBench, 2412.06559",
        first_error.below,
        RuleParameter("T", "the threshold"),
        of_score=True,
        any_stop=False,
    ),
    FirstErrorRule(
        "tested",
        "the step from a state that a search found alive to one that it found lost",
        "Wald 1945",
        first_error.tested,
        column="",
    ),
    FirstErrorRule(
        "posterior",
        "the most probable one, by a model of counts with one drop",
        "our own",
        first_error.posterior,
        RuleParameter("P", "null when less probable", default=0.0, above=0, most=1),
        COUNTS,
    ),
    FirstErrorRule(
        "own",
        "the one that the label or score of --from names itself",
        "a checker, a judge, people",
        None,
        of_score=True,
    ),
)


class FirstErrorRequest(NamedTuple):
    """A rule as it was asked for."""

    rule: FirstErrorRule
    number: float | None  # its parameter; None for a rule without one
    text: str  # as given

    def of_draws(self, evidence: StateValues) -> Json:
        """The entry of ``labels.first`` from the states of a trace.

        Raises DataError where draws were stopped in a way that the rule cannot use.
        """
        assert self.rule.of_draws is not None
        stop = next(filter(None, evidence.stopped), None)
        if stop and not self.rule.any_stop:
            raise DataError(
                f"draws stopped by {stop} are no ground for {self.text}: "
                "use tested, zero or posterior",
                "tree.rule",
            )
        return {"of": "value", "by": "sampler", **self._made(evidence)}

    def of_column(self, record: Json, name: str | None, new: Mapping[str, Json]) -> Json:
        """The entry from a label or score of the record, for a rule that can be had from one.

        Args:
            name: of the column; None is the only score.
            new: labels made in this run.
        """
        column = find_column(record, name, "--from NAME", new=new)
        count = len(schema.steps(record))
        if self.rule.of_draws is None:
            made = {**first_error.own(column, count), "meta": {"rule": self.text}}
        else:
            counts = f"{self.rule.name} is made of independent draws that are counted"
            ColumnSource(column.name, counts=counts if self.rule.column == COUNTS else "").check(
                column
            )
            made = self._made(step_states(column, trace.assistant_steps(record, count), None))
        where = {"score": column.name} if column.kind == "scores" else {"from": column.field}
        return {
            "of": column.entry.get("of", "raw"),
            "by": column.entry.get("by", "scorer"),
            **made,
            "meta": made["meta"] | where,
        }

    def _made(self, evidence: StateValues) -> Json:
        assert self.rule.of_draws is not None
        numbers = () if self.number is None else (self.number,)
        entry = self.rule.of_draws(evidence, *numbers)
        return {**entry, "meta": {"rule": self.text, **entry.get("meta", {})}}


def parse_first_error(text: str) -> FirstErrorRequest:
    """Read ``NAME`` or ``NAME:NUMBER``. Raises UsageError."""
    name, colon, given = text.partition(":")
    rule = next((rule for rule in RULES if rule.name == name), None)
    if rule is not None:
        parameter = rule.parameter
        if not colon and (parameter is None or parameter.default is not None):
            return FirstErrorRequest(rule, parameter.default if parameter else None, text)
        number = _number(given)
        if parameter is not None and number is not None and parameter.holds(number):
            return FirstErrorRequest(rule, number, text)
    rules = ", ".join(rule.bounded_usage for rule in RULES)
    raise UsageError(f'"{text}" is no rule for the first error; rules are {rules}')


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def first_error_usage(*, of_column: bool = False) -> str:
    """The rules in a sentence; ``of_column``: those that can be had from a label or score."""
    *names, last = [rule.usage for rule in RULES if rule.column or not of_column]
    return f"{', '.join(names)} or {last}" if names else last


def first_error_listing() -> str:
    """The table for people: a rule a line, its parameter below it."""
    lines = ["first errors, for --first:"]
    for rule in RULES:
        lines.append(f"{rule.name:<11}{rule.about} ({rule.source})")
        if rule.parameter:
            bounds = rule.parameter.bounds.removeprefix(" with ")
            lines.append(
                f"{'':<13}{rule.parameter.name:<9}{rule.parameter.about}"
                + (f", {bounds}" if bounds else "")
            )
    return "\n".join(lines)
