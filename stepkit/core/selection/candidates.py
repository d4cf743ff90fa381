"""What a method looks at in one attempt: read from its record and checked.

A score of null means that its step has none: a checker found nothing to check, no token starts
there. It is left out of the aggregate, for any number in its place would be a claim. An attempt
without any score is undecided: it has no weight in a vote and ranks after all others, those found
wrong too; else an attempt without anything to check would win over one with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.core import trace
from stepkit.core.columns import Column, all_columns, find_column
from stepkit.core.selection.aggregates import (
    LOGARITHM,
    OF_PROBABILITIES,
    Aggregate,
    aggregate_function,
    aggregate_of,
    name_of,
)
from stepkit.core.selection.answer_classes import answer_of
from stepkit.core.selection.selection_settings import METHODS, EarlyErrorFilter, SelectionSettings
from stepkit.core.selection.vote_maps import sigmoid
from stepkit.errors import DataError
from stepkit.schema import Json

HUGE = 1e300
"""Above this a sum of scores could overflow."""

PROBABILITIES = ("value", "validity")
"""What a column is of whose numbers are probabilities already."""

_NUMBERS = frozenset({int, float})


class Candidate(NamedTuple):
    """What a method looks at in one attempt.

    Attributes:
        final: the extracted answer.
        score: name of the score or of the verdicts; "" without one.
        order: of its aggregate; -inf without one (undecided, or an empty text); None where the
            method looks at no scores.
        is_log: that is the logarithm of the aggregate's value.
        length: the model's own steps.
        id: the attempt's name, where verdicts name it.
        chances: by another attempt's id, that this one is better than that.
        endings: by answer, how many subthoughts end in it.
        error: where its first error is, as EarlyErrorFilter measures; inf without one.
    """

    final: str | None
    score: str
    order: float | None
    is_log: bool = False
    length: int = 0
    id: str = ""
    chances: Mapping[str, float] = {}
    endings: Mapping[str, int] = {}
    error: float = inf

    @property
    def aggregate(self) -> Aggregate | None:
        """Of its scores; None where the method looks at none."""
        return None if self.order is None else aggregate_of(self.order, self.is_log)

    @property
    def standing(self) -> float:
        """What attempts are compared by: the order. A product of 0 has -inf there, too, and still
        stands before an attempt without an aggregate."""
        if self.order is None:
            return -inf
        return max(self.order, -HUGE) if self.is_log else self.order


def read_candidate(record: Json, settings: SelectionSettings) -> Candidate:
    """Read one attempt; ``reader`` for many."""
    return candidate_reader(settings)(record)


def candidate_reader(settings: SelectionSettings) -> Callable[[Json], Candidate]:
    """The function that reads an attempt.

    It raises DataError naming what the attempt lacks: a response, the score, a step's number, or a
    score that is a probability where one is multiplied or summed; verdicts, endings or a first
    error.
    """
    reads = METHODS[settings.by].reads
    scored = _Scores(settings) if reads == "scores" else None
    early = settings.early

    def read(record: Json) -> Candidate:
        count = len(schema.steps(record))
        if not count and record.get("response") is None:
            raise DataError('no "response": a problem without an attempt cannot be chosen')
        final = answer_of(record)
        if scored is not None:
            name, order = scored(record, count) if count else ("", None)
            if order is None:
                found = Candidate(final, name, -inf)
            else:
                found = Candidate(final, name, order, scored.is_log)
        elif reads == "verdicts":
            name, chances = _compared(record, settings.score)
            found = Candidate(final, name, None, id=schema.id_of(record), chances=chances)
        elif reads == "endings":
            found = Candidate(final, "", None, endings=_endings(record) if count else {})
        else:
            length = sum(trace.assistant_steps(record, count))
            found = Candidate(final, "", None, length=length)
        if early is not None:
            return found._replace(error=_first_error(record, count, early))
        return found

    return read


class _Scores:
    """Reads the name of a score, and the order of the aggregate of an attempt of so many steps;
    None where they have none."""

    def __init__(self, settings: SelectionSettings) -> None:
        self._name = settings.score
        self._way = aggregate_function(settings.aggregate)
        self._kind = name_of(settings.aggregate)
        self.is_log = self._kind == LOGARITHM
        self._multiplies = self._kind in OF_PROBABILITIES
        of_groups = settings.map is not None and not settings.map.of_steps
        self._sigmoids = settings.map is not None and settings.map.of_steps
        votes = settings.by != "best" and not of_groups
        self._no_raw = (self._multiplies or votes) and not self._sigmoids
        self._bounded = votes and not self._multiplies  # products are, and log-odds need not be

    def __call__(self, record: Json, count: int) -> tuple[str, float | None]:
        column = find_column(record, self._name, "--score NAME")
        self._check_kind(column)
        name = column.name if column.kind == "scores" else column.field
        try:
            if self._kind == "total":
                numbers: Sequence[float] = _total(column.entry, column.field)
            else:
                numbers = _own_numbers(record, column, count)
            if not numbers:
                return name, None
            order = self._aggregate(numbers)
            if self._kind == "hierarchical" and count > 1:
                pairs = _consecutive(record, column, count)
                order = (order + self._aggregate(pairs)) / 2 if pairs else order
        except (ValueError, OverflowError) as error:
            raise DataError(str(error), f"{column.field}.x") from None
        if not (-HUGE <= order <= HUGE or self.is_log):
            raise DataError("numbers too large to be compared", column.field)
        if self._bounded and not 0 <= order <= 1:
            raise DataError("a vote needs scores from 0 to 1, or --map", column.field)
        return name, order

    def _aggregate(self, numbers: Sequence[float]) -> float:
        return self._way([sigmoid(x) for x in numbers] if self._sigmoids else numbers)

    def _check_kind(self, column: Column) -> None:
        why = column.why_no_probability
        if self._no_raw and why:
            what = "multiplied" if self._multiplies else "summed as votes"
            way = "--map sigmoid" if self._multiplies else "--map"
            raise DataError(f"{why} and cannot be {what} without {way}", column.field)
        if self._sigmoids and column.entry.get("of") in PROBABILITIES:
            raise DataError("probabilities already: no --map sigmoid", column.field)


def _own_numbers(record: Json, column: Column, count: int) -> Sequence[float]:
    """The scores of the model's own steps that have one."""
    x = column.entry.get("x")
    if (
        type(x) is list
        and len(x) == count
        and "role" not in record
        and _NUMBERS.issuperset(map(type, x))
    ):
        return x  # nearly always: every step is the model's and has a number
    own = trace.assistant_steps(record, count)
    if not any(own):
        raise DataError("no step of the model's own to judge by", "role")
    found = zip(column.x(count), own, strict=True)
    return [value for value, is_own in found if is_own and value is not None]


def _consecutive(record: Json, column: Column, count: int) -> list[float]:
    """The scores of each two consecutive steps, both the model's own, that have one."""
    pairs, field = column.entry.get("consecutive"), f"{column.field}.consecutive"
    if not isinstance(pairs, list) or len(pairs) != count - 1:
        raise DataError(f"expected {count - 1} numbers, one for each two consecutive steps", field)
    own = trace.assistant_steps(record, count)
    is_own = [i for i in range(count - 1) if own[i] and own[i + 1]]
    for i in is_own:
        if pairs[i] is not None and not schema.is_number(pairs[i]):
            got = schema.name_of(pairs[i])
            raise DataError(f"expected a number, got {got}", f"{field}[{i}]")
    return [pairs[i] for i in is_own if pairs[i] is not None]


def _total(entry: Json, field: str) -> list[float]:
    """The number of the whole attempt; none where it is null."""
    value = entry.get("total")
    if "total" in entry and value is None:
        return []
    if not schema.is_number(value):
        raise DataError(f"expected a number, got {schema.name_of(value)}", f"{field}.total")
    return [float(value)]  # type: ignore[arg-type]


def _compared(record: Json, wanted: str | None) -> tuple[str, dict[str, float]]:
    """The name of the verdicts, and by id the chance that this attempt is better than that.

    Several verdicts on one pair count by their n.
    """
    named = record.get("verdicts")
    if isinstance(named, dict):  # an object is a verdict on one answer, not on pairs
        named = {name: entry for name, entry in named.items() if not isinstance(entry, dict)}
    if not isinstance(named, dict) or not named:
        raise DataError("no verdicts on pairs: run step-score first", "verdicts")
    have = ", ".join(sorted(named))
    if wanted is None and len(named) > 1:
        raise DataError(f"verdicts here: {have}; choose one with --score NAME", "verdicts")
    name = wanted or next(iter(named))
    if not isinstance(named.get(name), list):
        raise DataError(f"expected a list; verdicts here: {have}", f"verdicts.{name}")
    sums: dict[str, tuple[float, float]] = {}
    for number, one in enumerate(named[name]):
        other, p, n = _verdict(one, f"verdicts.{name}[{number}]")
        so_far, weight = sums.get(other, (0.0, 0.0))
        sums[other] = (so_far + n * p, weight + n)
    return name, {other: total / weight for other, (total, weight) in sums.items()}


def _verdict(one: Any, field: str) -> tuple[str, float, float]:
    if not isinstance(one, dict) or not isinstance(one.get("against"), str):
        raise DataError('expected an object with "against", an id', field)
    p, n = one.get("p"), one.get("n", 1)
    if not schema.is_number(p) or not 0 <= p <= 1:  # type: ignore[operator]
        raise DataError("expected a number from 0 to 1", f"{field}.p")
    if not schema.is_number(n) or not 0 < n < HUGE:
        raise DataError("expected a number above 0", f"{field}.n")
    return one["against"], p, n  # type: ignore[return-value]


def _endings(record: Json) -> dict[str, int]:
    """By answer, how many endings reach it, as step-rollout --method subthought counts them."""
    field = "labels.subthought.meta.answers"
    found: Any = record
    for key in field.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise DataError("missing: run step-rollout --method subthought first", field)
    for answer, count in found.items():
        if type(count) is not int or count < 1:
            raise DataError("expected a number from 1 up", f'{field}["{answer}"]')
    return found


def _first_error(record: Json, count: int, early: EarlyErrorFilter) -> float:
    """Where the first error is: a step, or a share of the steps; inf where there is none or it is
    not known."""
    column = _named_or_only(record, early.label)
    first = column.first(count)
    if first is None or first == -1:
        return inf
    return first / count if early.share else first


def _named_or_only(record: Json, name: str | None) -> Column:
    """The column of the first error; unnamed the only label that has one, or else score."""
    if name is not None:
        column = find_column(record, name, "--label NAME", usual="labels")
        if "first" not in column.entry:
            raise DataError("it has no first error: run step-label --first", column.field)
        return column
    have = [column for column in all_columns(record) if "first" in column.entry]
    labels = [column for column in have if column.kind == "labels"]
    if len(labels or have) != 1:
        names = ", ".join(sorted(column.name for column in labels or have))
        what = f"there is one in {names}; choose with --label" if have else "none"
        raise DataError(f"which first error? {what}", "labels")
    return (labels or have)[0]
