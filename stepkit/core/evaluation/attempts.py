"""From a record, the numbers that are measured; nothing else of it is kept.

Raises DataError naming the field. Gold labels come from ``labels.NAME`` (``first``, 0-based, or
``x``, one number per step), or from a field of the record with its own index base: benchmarks have
their labels there, 0-based ones and 1-based ones.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf, nan
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.core import columns, selection, trace
from stepkit.core.columns import column_path, find_column, has_column
from stepkit.core.evaluation.protocols import FIELDS, NONE, REDUNDANT
from stepkit.core.selection import VoteMap
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.seeds import digest

VOTES = ("weighted", "log-weighted")
"""Those of selection.METHODS that sum aggregates."""

ByMap = tuple[str, VoteMap | None]
"""An aggregate, and the map of the scores that it is made of."""


class GoldSource(NamedTuple):
    """Where the truth about steps is.

    Attributes:
        name: a column, of ``labels`` unless it says ``scores.``; with ``base`` a field of the
            record.
        base: index of the first step in that field; None for a column.
    """

    name: str = "gold"
    base: int | None = None

    def __str__(self) -> str:
        return column_path(self.name, "labels") if self.base is None else self.name


@dataclass(frozen=True)
class AttemptFields:
    """What to read.

    Attributes:
        scores: columns of numbers, by the names that they are reported under.
        aggregates: of selection.AGGREGATES.
        maps: how scores that are no probabilities vote; None is the vote of those that are.
        judge: the column of labels that a protocol reads its judgements from; None: the scores.
        gold: None: labels.gold, or else the protocol's own field.
        protocol: of protocols.NAMES, or None.
        part: field that the records are divided by, or None.
        redundancy: the column that judges PRMBench's redundant steps, or None.
    """

    scores: Mapping[str, str] = field(default_factory=dict)
    aggregates: tuple[str, ...] = ("min",)
    maps: tuple[VoteMap | None, ...] = (None,)
    judge: str | None = None
    gold: GoldSource | None = None
    protocol: str | None = None
    part: str | None = None
    redundancy: str | None = None


class GoldLabels(NamedTuple):
    """Gold labels of an attempt.

    Attributes:
        first: the first wrong step, NONE without one, None when not known.
        steps: [T] of each step, None where it has none; None when only the first is known.
    """

    first: int | None
    steps: tuple[float | None, ...] | None = None

    def counted(self, own: Sequence[bool]) -> list[tuple[int, float]]:
        """(step, label) of the model's steps, up to and including the first error.

        Raises ValueError for a label that is neither 0 nor 1.
        """
        labels: Sequence[float | None] = self.steps or [
            None if self.first is None else float(step != self.first) for step in range(len(own))
        ]
        mine = [(step, label) for step, label in enumerate(labels) if own[step]]
        # all of them: in ratings of 1, 0 and -1 a 0 before the first -1 would pass for an error
        for step, label in mine:
            if label not in (None, 0, 1):
                raise ValueError(f"step {step} is labelled {label:g}, neither 0 nor 1")
        found: list[tuple[int, float]] = []
        for step, label in mine:
            if label is None:
                break
            found.append((step, float(label)))
            if not label:
                break
        return found


class AttemptScore(NamedTuple):
    """One score of an attempt.

    Attributes:
        steps: [T] of each step, NaN where it is not the model's or has no score.
        order: by aggregate and map of steps, what attempts are compared by.
        weight: by vote, aggregate and map, what is summed as votes: the value, or the logarithm of
            a product, of odds or of a softmax; None where step-rerank would not sum it.
        probabilities: the scores are from 0 to 1, and called so.
        meta: what made them.
        first: the first error as the scorer itself names it: NONE, a step, or None where it does
            not know or has no say.
        verdicts: [T] the labels -1, 0 and 1 that a judge gave next to the scores; None without.
        path: where it stands; "" for an empty text.
    """

    steps: array[float]
    order: dict[ByMap, float]
    weight: dict[tuple[str, str, VoteMap | None], float | None]
    probabilities: bool
    meta: Any
    first: int | None = None
    verdicts: Sequence[float | None] | None = None
    path: str = ""


@dataclass
class MeasuredAttempt:
    """One attempt, as far as it is measured.

    Attributes:
        group, problem: what attempts at one problem share; a hash of the problem itself.
        part: value of the field that records are divided by.
        file: where it stood.
        right: verdict, None when undecided or not graded.
        final: the answer, None without one.
        tokens: that it took, None when not known.
        own: [T] is the step the model's?
        scores, truth: by name; gold labels.
        judged, judged_by: labels that judge the steps, and their name.
        redundancy: [T] of each step, where that judges the steps in place of the scores.
        beyond: how many wrong steps PRMBench's list names beyond the last one.
        place: file and line.
    """

    group: str
    problem: str
    part: str
    file: str
    right: float | None
    final: str | None
    tokens: int | None
    own: list[bool]
    scores: dict[str, AttemptScore] = field(default_factory=dict)
    truth: GoldLabels | None = None
    judged: GoldLabels | None = None
    judged_by: str = ""
    redundancy: Sequence[float | None] | None = None
    beyond: int = 0
    place: str = ""

    def counted(self) -> list[tuple[int, float]]:
        """GoldLabels.counted of the attempt. Raises DataError with its place."""
        try:
            return [] if self.truth is None else self.truth.counted(self.own)
        except ValueError as error:
            raise DataError(f"{error}; see --gold", place=self.place) from None


def read_attempt(
    record: Json, wanted: AttemptFields, file: str = "", place: str = ""
) -> MeasuredAttempt:
    """Read one attempt."""
    if record.get("response") is None:
        raise DataError('no "response": there is no attempt to measure')
    steps = schema.steps(record) if _needs_steps(record, wanted) else []
    own = trace.assistant_steps(record, len(steps))
    attempt = MeasuredAttempt(
        group=schema.group_of(record),
        problem=problem_of(record),
        part="" if wanted.part is None else _part_value(record, wanted.part),
        file=file,
        right=schema.correct_of(record),
        final=selection.answer_of(record),
        tokens=tokens_of(record),
        own=own,
        judged_by=wanted.judge or "",
        place=place,
    )
    attempt.truth = _gold_labels(record, wanted, own) if steps else None
    attempt.beyond = _beyond(record, wanted, len(steps))
    if wanted.judge is not None:
        attempt.judged = _labels(record, column_path(wanted.judge, "labels"), own, "--label NAME")
    key, kinds = REDUNDANT
    if wanted.redundancy is not None and record.get(key) in kinds:
        judge = find_column(record, wanted.redundancy, "--redundancy NAME")
        attempt.redundancy = judge.x(len(steps))
    for name, column in wanted.scores.items():
        attempt.scores[name] = _attempt_score(record, column, wanted, len(steps))
    return attempt


def _needs_steps(record: Json, wanted: AttemptFields) -> bool:
    """Whether steps are measured, or there are any: verdicts and answers are read without them."""
    asked = wanted.protocol, wanted.judge, wanted.gold, wanted.scores or None
    return record.get("steps") is not None or any(one is not None for one in asked)


def problem_of(record: Json) -> str:
    """A hash of the problem's text (of the group where there is none): the same in every file."""
    if any(key in record for key in schema.PROBLEM_FIELDS):
        return digest("evaluated", schema.problem_text(record))
    return digest("evaluated", schema.group_of(record))


def tokens_of(record: Json) -> int | None:
    """Tokens drawn for the attempt and for the evidence about it, as far as they were counted.

    A node that was cut from a draw is a part of that draw and not counted again.
    """
    total, known = 0, False
    sample = record.get("sample")
    if isinstance(sample, dict) and isinstance(sample.get("tokens"), int):
        total, known = sample["tokens"], True
    tree = schema.check_tree(record)
    if tree is not None and "tokens" in tree:
        cut = tree.get("cut", [schema.UNDRAWN] * len(tree["draw"]))
        for size, draw, source in zip(tree["tokens"], tree["draw"], cut, strict=True):
            if draw >= 0 and source == schema.UNDRAWN and isinstance(size, int):
                total, known = total + size, True
    return total if known else None


def _part_value(record: Json, key: str) -> str:
    value = record.get(key)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) or schema.is_number(value):
        return str(value)
    raise DataError(f"expected a string, got {schema.name_of(value)}", key)


def _attempt_score(record: Json, name: str, wanted: AttemptFields, count: int) -> AttemptScore:
    if not record.get("response"):
        return no_score(wanted, count)
    column = find_column(record, name, "--score NAME")
    x = column.x(count) if count else []
    likely = not column.why_no_probability
    order: dict[ByMap, float] = {}
    weight: dict[tuple[str, str, VoteMap | None], float | None] = {}
    for how in wanted.aggregates:
        for mapped in wanted.maps:
            of_steps = steps_map(mapped)
            one = _reader(how, name, of_steps)(record)
            order[how, of_steps] = one.standing
            for by in VOTES:
                votes = likely or mapped is not None
                weight[by, how, mapped] = _weight(one, by, how, mapped) if votes else None
    return AttemptScore(
        array("d", [nan if value is None else value for value in x]),
        order,
        weight,
        likely and all(0 <= value <= 1 for value in x if value is not None),
        column.entry.get("meta"),
        column.first(count),
        column.counts("verdict", count),
        column.field,
    )


@lru_cache(64)
def _reader(how: str, name: str, mapped: VoteMap | None) -> Callable[[Json], selection.Candidate]:
    settings = selection.SelectionSettings("best", how, name, map=mapped)
    return selection.candidate_reader(settings)


def steps_map(mapped: VoteMap | None) -> VoteMap | None:
    """The map where it is one of steps, which their aggregates are made after; else None."""
    return mapped if mapped is not None and mapped.of_steps else None


def no_score(wanted: AttemptFields, count: int = 0) -> AttemptScore:
    """Of an empty text: it weighs nothing in a vote and ranks last."""
    ways = [(how, mapped) for how in wanted.aggregates for mapped in wanted.maps]
    nothing = selection.Candidate(None, "", -inf)
    return AttemptScore(
        array("d", [nan] * count),
        {(how, steps_map(mapped)): -inf for how, mapped in ways},
        {(by, *way): _weight(nothing, by, *way) for by in VOTES for way in ways},
        True,
        None,
    )


def _weight(one: selection.Candidate, by: str, how: str, mapped: VoteMap | None) -> float | None:
    """What an attempt weighs in a vote: its aggregate must be a probability, or mapped. By rank it
    depends on the others, and is 0 here."""
    if mapped is None or mapped.of_steps:
        if not selection.summable(how, by):
            return None
        value = one.aggregate.value if one.aggregate else 0.0
        bounded = selection.name_of(how) in selection.OF_PROBABILITIES or value == -inf
        if not bounded and not 0 <= value <= 1:
            return None
    elif by == "log-weighted":
        return None
    elif mapped.name == "rank":
        return 0.0
    return selection.vote_weight(one.order, by, how, mapped)


def _gold_labels(record: Json, wanted: AttemptFields, own: list[bool]) -> GoldLabels | None:
    gold = wanted.gold or GoldSource()
    if gold.base is None and has_column(record, str(gold)):
        return _labels(record, str(gold), own, "--gold NAME")
    if wanted.gold is None and wanted.protocol is not None:
        gold = GoldSource(*FIELDS[wanted.protocol])
    return _field(record, gold, own) if gold.base is not None and gold.name in record else None


def _labels(record: Json, path: str, own: list[bool], option: str) -> GoldLabels | None:
    kind, _, name = path.partition(".")
    entries = record.get(kind)
    if entries is None or (isinstance(entries, dict) and entries.get(name) is None):
        return None
    entry = find_column(record, path, option).entry
    truth = GoldLabels(None) if entry.get("x") is None else _labels_of_steps(entry["x"], path, own)
    if entry.get("first") is not None:
        return truth._replace(first=_step_index(entry["first"], len(own), f"{path}.first"))
    return truth


def _field(record: Json, gold: GoldSource, own: list[bool]) -> GoldLabels | None:
    """The first error, a list of the wrong steps (1-based), or labels by step."""
    value, base, count = record[gold.name], gold.base or 0, len(own)
    if value is None:
        return None
    if isinstance(value, dict):
        try:
            by_step = {int(key) - base: one for key, one in value.items()}
        except ValueError:
            raise DataError("expected numbers of steps as keys", gold.name) from None
        for step in by_step:
            if not 0 <= step < count:
                raise DataError(
                    f"step {step + base} of {count} (they are numbered {base} .. "
                    f"{count - 1 + base})",
                    gold.name,
                )
        return _labels_of_steps([by_step.get(step) for step in range(count)], gold.name, own)
    if isinstance(value, list) and base == 1:
        if not all(_is_index(one) and one >= 1 for one in value):
            raise DataError(f"expected a list of steps, 1 .. {count}", gold.name)
        return _labels_of_steps(
            [float(step + 1 not in value) for step in range(count)], gold.name, own
        )
    if isinstance(value, list):
        return _labels_of_steps(value, gold.name, own)
    first = value - base if _is_index(value) and value != NONE else value
    return GoldLabels(_step_index(first, count, gold.name))


def _beyond(record: Json, wanted: AttemptFields, count: int) -> int:
    """How many steps the list of wrong ones names that are not there, as some 100 rows of
    PRMBench's files do. Its own program passes over them."""
    gold = wanted.gold
    if gold is None and wanted.protocol is not None and not has_column(record, str(GoldSource())):
        gold = GoldSource(*FIELDS[wanted.protocol])
    value = record.get(gold.name) if gold is not None and gold.base == 1 else None
    return sum(one > count for one in value) if isinstance(value, list) else 0


def _labels_of_steps(values: Any, where: str, own: list[bool]) -> GoldLabels:
    steps = columns.numbers(values, len(own), f"{where}.x")
    first: int | None = NONE
    for step, (value, is_own) in enumerate(zip(steps, own, strict=True)):
        if is_own and (value is None or value <= 0):
            first = None if value is None else step
            break
    return GoldLabels(first, tuple(steps))


def _step_index(value: Any, count: int, where: str) -> int:
    if not _is_index(value) or not NONE <= value < count:
        raise DataError(f"expected a step, -1 .. {count - 1}, got {value!r}", where)
    return int(value)


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
