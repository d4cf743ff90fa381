"""Rows made of one trace as a whole: what to imitate of it, and what each of its steps is worth.

All of them go by the trace's labels (run step-label first) or its verdict. Steps that are not the
model's are in every row as context, and are never labelled or given a weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stepkit import schema
from stepkit.core import stats, trace
from stepkit.core.pairs import labelled
from stepkit.core.pairs.choosing import Choice
from stepkit.core.pairs.evidence import Evidence, Json
from stepkit.core.pairs.rivals import everywhere
from stepkit.core.pairs.rules import Duel, Reading, first_error
from stepkit.core.rows import (
    Advantage,
    Origin,
    Ranked,
    Side,
    Stepwise,
    Text,
    Unpaired,
    Weighted,
)
from stepkit.errors import DataError

AFTER_ERROR = ("keep", "mask", "cut")
CORRECTION = "Wait, that is not right.\n"
MIDDLE, SUFFIX = "<|fim_middle|>", "<|fim_suffix|>"
"""The marks of filling in, as code models have them; <|fim_prefix|> belongs into --prompt."""


@dataclass(frozen=True)
class Telling:
    """How a trace is told.

    Attributes:
        after_error: what becomes of the labels after the first wrong step: "keep" them, "mask"
            them, or "cut" the steps off.
        correction: what stands between a wrong step and the one that corrects it.
    """

    after_error: str = "keep"
    correction: str = CORRECTION


@dataclass(frozen=True)
class Case:
    """One trace and how to read, choose and tell it."""

    record: Json
    reading: Reading
    choice: Choice
    telling: Telling
    origin: Origin
    dropped: Counter[str]

    def evidence(self) -> Evidence:
        return Evidence(self.record, self.reading.sampler)

    def steps(self) -> tuple[list[str], list[bool]]:
        """The steps of the trace, and which are the model's. DataError without an attempt."""
        steps = schema.steps(self.record)
        if not steps:
            raise DataError('no "response": a problem without an attempt')
        return steps, trace.assistant_steps(self.record, len(steps))


Row = Ranked | Unpaired | Stepwise | Weighted | Text | Advantage
Rule = Callable[[Case], Iterator[Row]]


def ranked(case: Case) -> Iterator[Ranked]:
    """The rivals at a prefix, the best first (TPO, Liao et al., arXiv:2410.12854).

    TPO ranks whole answers of one tree; with the scopes continuation and full these are such. Of
    equal values only the rival with the most draws is in the list, for a list has no ties. A side
    is a right attempt where the value is above 1/2, else a wrong one.
    """
    choice, evidence = case.choice, case.evidence()
    for siblings in everywhere(evidence, case.reading.backup, drawn=case.reading.drawn):
        if choice.scope == "full" and siblings.has_others_before:
            case.dropped["a prefix with turns of others"] += 1
            continue
        sides: list[Side] = []
        nodes: list[int] = []
        for rival in siblings.rivals:
            if sides and sides[-1].value - rival.value <= max(choice.min_gap, 0.0):
                case.dropped["tie" if sides[-1].value == rival.value else "under --min-gap"] += 1
                continue
            end = None
            if choice.scope != "step":
                end = next(siblings.ends(rival, rival.value > 0.5), None)
                if end is None:
                    case.dropped["no attempt that came to its end"] += 1
                    continue
            sides.append(siblings.side(rival, end))
            nodes += rival.nodes
        if len(sides) < 2:
            case.dropped["fewer than two rivals"] += 1
            continue
        draws = tuple(map(str, nodes))
        origin = case.origin._replace(step=siblings.step, draws=draws)
        yield Ranked(siblings.prefix, tuple(sides), origin)


def step_kto(case: Case) -> Iterator[Unpaired]:
    """Each rival by itself: desirable above a value of 1/2, undesirable below (the process rows of
    Step-KTO, Lin et al., arXiv:2501.10799; its outcome rows are ``kto``).

    Their judge is a reward model; here the counts judge, or a score with --value. --min-chosen and
    --max-rejected move the two bounds apart, and --confidence asks for that chance that the value
    is on its side of 1/2. A side is an attempt with the outcome of its label.
    """
    choice, evidence = case.choice, case.evidence()
    low = min(choice.max_rejected, 0.5)
    for siblings in everywhere(evidence, case.reading.backup, drawn=case.reading.drawn):
        if choice.scope == "full" and siblings.has_others_before:
            case.dropped["a prefix with turns of others"] += 1
            continue
        for rival in siblings.rivals:
            good = rival.value > 0.5
            above = stats.probability_above_half(rival.k, rival.n)
            if rival.value == 0.5 or (
                rival.value < choice.min_chosen if good else rival.value > low
            ):
                case.dropped["neither desirable nor undesirable"] += 1
            elif (above if good else 1 - above) < choice.confidence:
                case.dropped["under --confidence"] += 1
            else:
                end = None
                if choice.scope != "step":
                    end = next(siblings.ends(rival, good), None)
                    if end is None:
                        case.dropped["no attempt that came to its end"] += 1
                        continue
                draws = tuple(map(str, rival.nodes))
                origin = case.origin._replace(step=siblings.step, draws=draws)
                yield Unpaired(siblings.prefix, siblings.side(rival, end), good, origin)


def kto(case: Case) -> Iterator[Unpaired]:
    """The whole attempt: desirable when right, undesirable when wrong (KTO, Ethayarajh et al.,
    arXiv:2402.01306)."""
    side = _attempt(case)
    if side:
        yield Unpaired("", side, side.k == 1, case.origin)


def filtered(case: Case) -> Iterator[Text]:
    """The whole attempt if it is right and, with --at, no step's label is below --min-chosen.

    Without a label this is rejection sampling (Yuan et al., arXiv:2308.01825); with one it is
    filtering by step, which leaves out attempts that came out right by luck.
    """
    side = _attempt(case)
    if side is None:
        return
    if side.k == 0:
        case.dropped["the attempt is wrong"] += 1
        return
    if case.reading.at is not None:
        steps, own = case.steps()
        _, x = labelled.numbers(case.record, case.reading.at, (), len(steps))
        known = [value for value, mine in zip(x, own, strict=True) if mine]
        if any(value is None or value < case.choice.min_chosen for value in known):
            unknown = None in known
            case.dropped["a step without a label" if unknown else "under --min-chosen"] += 1
            return
    yield Text("", side, case.origin)


def prm(case: Case) -> Iterator[Stepwise]:
    """Steps and labels for a process reward model: ``hard`` of Math-Shepherd (Wang et al.,
    arXiv:2312.08935), or whatever --at names.

    A label of exactly 0 or 1 is wrong or right, any other is soft. Null is masked, as are the
    steps of others and, with --after-error mask, all after the first wrong one (PRM800K's labels
    end there: Lightman et al., arXiv:2305.20050).
    """
    steps, own = case.steps()
    name, x = labelled.numbers(case.record, case.reading.at, ("hard",), len(steps))
    labels = [value if mine else None for value, mine in zip(x, own, strict=True)]
    if case.telling.after_error != "keep":
        entry = case.record["labels"][name]
        first = entry["first"] if "first" in entry else _first_zero(labels)
        if first is None:
            case.dropped["first error unknown"] += 1
            return
        if first >= 0:
            if case.telling.after_error == "cut":
                steps, labels = steps[: first + 1], labels[: first + 1]
            labels[first + 1 :] = [None] * (len(labels) - first - 1)
    if all(label is None for label in labels):
        case.dropped["no label"] += 1
        return
    found = tuple(bool(label) if label in (0, 1) else label for label in labels)
    yield Stepwise(tuple(steps), found, case.origin)


def weighted(case: Case) -> Iterator[Weighted]:
    """The attempt with a weight for each step: its advantage where positive, else 0.

    The advantage is the label ``progress`` or what --at names; a step without one weighs nothing.
    Weighting imitation by max(0, A) drops the steps that made matters worse and is a first-order
    form of advantage-weighted regression (Peng et al., arXiv:1910.00177).
    """
    steps, own = case.steps()
    _, x = labelled.numbers(case.record, case.reading.at, ("progress",), len(steps))
    weights = tuple(
        max(0.0, float(value)) if mine and value is not None else 0.0
        for value, mine in zip(x, own, strict=True)
    )
    if not any(weights):
        case.dropped["no step of positive weight"] += 1
        return
    yield Weighted(tuple(steps), weights, labelled.verdict(case.record)[1], case.origin)


def advantages(case: Case) -> Iterator[Advantage]:
    """The value after each step and its advantage, as labelled: for a program of your own.

    Values are those of the label ``value``, advantages those of ``progress`` or what --at names.
    Every step of the model's must have both; those of others have an advantage of 0.
    """
    steps, own = case.steps()
    _, values = labelled.numbers(case.record, "value", (), len(steps))
    _, x = labelled.numbers(case.record, case.reading.at, ("progress",), len(steps))
    both = list(zip(values, x, own, strict=True))
    if any(mine and (value is None or a is None) for value, a, mine in both):
        case.dropped["a step without a label"] += 1
        return
    entry = case.record["labels"]["value"]
    k, n = (_counts(entry, key, len(steps)) for key in ("k", "n"))
    yield Advantage(
        tuple(steps),
        tuple(float(value or 0) for value, _, _ in both),
        tuple(float(a or 0) if mine else 0.0 for _, a, mine in both),
        k,
        n,
        case.origin,
    )


def intervention(case: Case) -> Iterator[Weighted]:
    """The steps before the first wrong one, and a right step in its place (InT, Yang et al.,
    arXiv:2601.14209).

    InT lets the model propose the step with the reference solution in view; here it is the best
    rival that was drawn from the prefix. With scope step the row ends there, as theirs does; else
    the rest of the right attempt follows.
    """
    for duel, chosen in _corrections(case):
        yield _told(case, duel, [(chosen.text, 1.0)], chosen.ended)


def self_correction(case: Case) -> Iterator[Weighted]:
    """The wrong step, words that take it back, and the right attempt from there (S3c-Math, Yan et
    al., arXiv:2409.01524), all of it to be imitated.

    S3c-Math has a model write the words; here they are those of --correction.
    """
    yield from _corrected(case, 1.0)


def masked_correction(case: Case) -> Iterator[Weighted]:
    """The same with the wrong step masked, so that the error itself is not learnt (STeP, Chen et
    al., arXiv:2505.20023)."""
    yield from _corrected(case, 0.0)


def fill_in(case: Case) -> Iterator[Text]:
    """Each step between others of a right attempt, to be filled in (MathFimer, Yan et al.,
    arXiv:2502.11684).

    The prompt is the steps before, <|fim_suffix|>, the steps after, <|fim_middle|>; put
    <|fim_prefix|> where you want it with --prompt. MathFimer's expansion of other traces with such
    a model is a run of the model, not of this rule.
    """
    side = _attempt(case)
    if side is None or side.k == 0:
        case.dropped["the attempt is wrong"] += side is not None
        return
    steps, own = case.steps()
    for step in range(1, len(steps) - 1):
        if own[step]:
            before, after = "".join(steps[:step]), "".join(steps[step + 1 :])
            one = side._replace(text=steps[step], ended=True)
            origin = case.origin._replace(step=step)
            yield Text(f"{before}{SUFFIX}{after}{MIDDLE}", one, origin)


def _attempt(case: Case) -> Side | None:
    """The whole trace as a side, if it is decided, whole and all the model's own."""
    steps, own = case.steps()
    right, ended = labelled.verdict(case.record)
    if right is None or not ended or not all(own):
        why = "the attempt is undecided" if right is None else "the attempt was cut off"
        case.dropped["turns of others" if not all(own) else why] += 1
        return None
    return Side("".join(steps), int(right), 1, float(right), True)


def _corrections(case: Case) -> Iterator[tuple[Duel, Side]]:
    """At the first error: the duel, and the right side as the scope asks for it."""
    for duel in first_error(case.evidence(), case.reading, case.dropped):
        end = None
        if case.choice.scope != "step":
            end = next(duel.siblings.ends(duel.better, True), None)
        if duel.better.value <= duel.worse.value:
            case.dropped["tie"] += 1
        elif end is None and case.choice.scope != "step":
            case.dropped["no attempt that came to its end"] += 1
        else:
            yield duel, duel.siblings.side(duel.better, end)


def _corrected(case: Case, weight: float) -> Iterator[Weighted]:
    for duel, chosen in _corrections(case):
        wrong, words = (duel.worse.text, weight), (case.telling.correction, 1.0)
        yield _told(case, duel, [wrong, words, (chosen.text, 1.0)], chosen.ended)


def _told(case: Case, duel: Duel, told: list[tuple[str, float]], ended: bool) -> Weighted:
    """The steps before the duel, those of others without weight, and then ``told``."""
    both = [(text, float(own)) for text, own in duel.siblings.before] + told
    draws = tuple(str(node) for rival in (duel.better, duel.worse) for node in rival.nodes)
    origin = case.origin._replace(step=duel.siblings.step, draws=draws)
    return Weighted(tuple(text for text, _ in both), tuple(w for _, w in both), ended, origin)


def _first_zero(labels: list[float | None]) -> int | None:
    """The first wrong step: the first 0 if all before it are known; -1 without one."""
    for step, value in enumerate(labels):
        if value is None or value == 0:
            return None if value is None else step
    return -1


def _counts(entry: Json, key: str, steps: int) -> tuple[int, ...]:
    """The whole numbers at ``key`` of a label; 0 for each step where there are none."""
    column = entry.get(key)
    if column is None:
        return (0,) * steps
    numbers = trace.step_numbers({"x": column}, steps, f"labels.value.{key}")
    return tuple(int(number or 0) for number in numbers)
