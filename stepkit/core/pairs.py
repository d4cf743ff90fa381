"""Preference pairs from the rivals of a step: who competes, and which two make a pair.

At step t of a trace compete the spine step itself, with the counts drawn at its node (the last
step: its verdict, n = 1), and the first steps of the draws made at the same prefix, each with the
one outcome it led to (n = 1). Steps that differ only in outer white space are one rival with
pooled counts: a draw that happened to begin with the spine's step is a draw of its value.
Undecided and failed draws are left out; ties are never a pair. Steps are compared with steps,
all cut by the record's own ``split``.

Rules:
    best-worst   the highest value against the lowest.
    first-error  only at a trace's first wrong step, which is rejected; chosen is the best rival
                 with a right outcome (Lai et al., Step-DPO, arXiv:2406.18629).

Between equal values the one with more draws wins, then the spine, then the lower draw number.
This module lays out no prompt; see formats/trainers.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.core import stats, trace
from stepkit.core import tree as trees
from stepkit.errors import DataError

Json = dict[str, Any]

RULES = ("best-worst", "first-error")
SCOPES = ("continuation", "step", "full")


@dataclass(frozen=True)
class Settings:
    """Which pairs to make.

    Attributes:
        rule: one of RULES.
        scope: "step": the two steps alone; "continuation" and "full": each side needs an attempt
            through its step that came to its own end right (chosen) or wrong (rejected).
        at: the label whose ``first`` the rule first-error goes by; None is "first", else "hard".
        sampler: whose draws count, by id or index; None is the only one.
        min_gap: least difference of the two values.
        min_probability: least chance that chosen is better (stats.probability_better).
        max_pairs: at most so many of a trace, the widest gaps first; None is all.
    """

    rule: str = "best-worst"
    scope: str = "continuation"
    at: str | None = None
    sampler: str | None = None
    min_gap: float = 0.0
    min_probability: float = 0.0
    max_pairs: int | None = None


class Side(NamedTuple):
    """One side of a pair. ``text`` begins where the two part and is what ``scope`` asks for."""

    text: str
    k: int
    n: int

    @property
    def value(self) -> float:
        return self.k / self.n


class Pair(NamedTuple):
    """Two rivals at one step of a trace."""

    step: int  # index of the step at which they part
    prefix: str  # the steps before it, joined
    chosen: Side
    rejected: Side

    @property
    def gap(self) -> float:
        return self.chosen.value - self.rejected.value

    @property
    def probability(self) -> float:
        return stats.probability_better(*self.chosen[1:], *self.rejected[1:])


class Found(NamedTuple):
    """The pairs of one trace in step order, and how many step positions gave none, by reason."""

    pairs: list[Pair]
    dropped: Counter[str]


@dataclass
class Rival:
    """A step, the counts of its value, and the decided attempts that go through it."""

    text: str
    k: int = 0
    n: int = 0
    attempts: list[tuple[str, bool]] = field(default_factory=list)  # (text from here on, right)

    @property
    def value(self) -> float:
        return self.k / self.n

    def side(self, right: bool, scope: str) -> Side | None:
        """This rival as the chosen (right) or rejected side; None without such an attempt.

        Of several attempts the first is taken: the trace itself, the draws at the step's node,
        then the draws at the prefix, each in draw order.
        """
        if scope == "step":
            return Side(self.text, self.k, self.n)
        fitting = (text for text, was_right in self.attempts if was_right == right)
        text = next(fitting, None)
        return None if text is None else Side(text, self.k, self.n)


class _Grove(NamedTuple):
    """One trace with its place in a forest that has been counted."""

    record: Json
    steps: list[str]
    tree: Json
    assistant: list[bool]
    forest: trees.Forest
    counts: trees.Counts
    start: int  # forest index of this tree's root

    def draws(self, node: int) -> list[tuple[str, bool, str]]:
        """(text, right, finish) of the decided draws made at ``node``, in draw order."""
        nodes = sorted(self.counts.draws_at(self.start + node), key=self.forest.draw.__getitem__)
        found = []
        for global_node in nodes:
            child = global_node - self.start
            outcome = self.tree["outcome"][child]
            if outcome is not None:
                text, finish = self.tree["text"][child], self.tree["finish"][child]
                found.append((text, _right(outcome, f"tree.outcome[{child}]"), finish))
        return found


def find(records: Sequence[Json], settings: Settings) -> list[Found | DataError]:
    """The pairs of each record, or its error. All trees of the block are counted together."""
    results: list[Found | DataError | None] = [None] * len(records)
    todo: list[tuple[int, list[str], Json, int]] = []
    for index, record in enumerate(records):
        try:
            steps = schema.steps(record)
            tree = trace.spine_tree(record, steps)
            todo.append((index, steps, tree, trace.choose_sampler(tree, settings.sampler)[0]))
        except DataError as error:
            results[index] = error
    forest = trees.plant([tree for _, _, tree, _ in todo])
    counts = trees.count(forest, [by for *_, by in todo])
    for (index, steps, tree, _), start in zip(todo, forest.offsets, strict=False):
        record = records[index]
        try:
            assistant = trace.assistant_steps(record, len(steps))
            grove = _Grove(record, steps, tree, assistant, forest, counts, start)
            results[index] = _pairs(grove, settings)
        except DataError as error:
            results[index] = error
    return [result for result in results if result is not None]


def _pairs(grove: _Grove, settings: Settings) -> Found:
    found = Found([], Counter())
    for step in _positions(grove, settings, found.dropped):
        pair = _pair(grove, step, settings, found.dropped)
        if pair is not None:
            found.pairs.append(pair)
    most = settings.max_pairs
    if most is not None and len(found.pairs) > most:
        found.dropped["over --max-pairs"] += len(found.pairs) - most
        widest = sorted(found.pairs, key=lambda pair: (-pair.gap, pair.step))[:most]
        found.pairs[:] = sorted(widest, key=lambda pair: pair.step)
    return found


def _positions(grove: _Grove, settings: Settings, dropped: Counter[str]) -> list[int]:
    """The steps of the trace at which the rule looks for a pair."""
    if settings.rule == "best-worst":
        return [step for step, mine in enumerate(grove.assistant) if mine]
    name = settings.at
    if name is None:
        labels = grove.record.get("labels")
        if not labels:
            raise DataError('no "labels": run step-label first')
        name = "first" if isinstance(labels, dict) and "first" in labels else "hard"
    _, entry = trace.named(grove.record, "labels", name, "--at NAME")
    first = entry.get("first")
    if first is None:
        dropped["first error unknown"] += 1
        return []
    if type(first) is not int or not -1 <= first < len(grove.steps):
        raise DataError(
            f"expected a step (0 .. {len(grove.steps) - 1}), -1 or null", f"labels.{name}.first"
        )
    if first == -1:
        dropped["no error"] += 1
    return [first] if first >= 0 and grove.assistant[first] else []


def _pair(grove: _Grove, step: int, settings: Settings, dropped: Counter[str]) -> Pair | None:
    rivals = [rival for rival in _rivals(grove, step) if rival.n]
    if settings.rule == "first-error":
        spine = grove.steps[step].strip()
        worst = next((rival for rival in rivals if rival.text.strip() == spine), None)
        rivals = [rival for rival in rivals if rival is not worst and rival.k]
        if worst is None or not rivals:
            dropped["no right rival" if worst else "no decided draw"] += 1
            return None
    elif len(rivals) < 2:
        dropped["fewer than two rivals"] += 1
        return None
    else:
        # min() and max() keep the first of equals, so order is the last word in both.
        worst = min(rivals, key=lambda rival: (rival.value, -rival.n))
    best = max(rivals, key=lambda rival: (rival.value, rival.n))
    if best.value <= worst.value:
        dropped["tie"] += 1
        return None
    if settings.scope == "full" and not all(grove.assistant[:step]):
        dropped["a prefix with turns of others"] += 1
        return None
    chosen, rejected = best.side(True, settings.scope), worst.side(False, settings.scope)
    if chosen is None or rejected is None:
        dropped["no attempt that came to its end"] += 1
        return None
    pair = Pair(step, "".join(grove.steps[:step]), chosen, rejected)
    if pair.gap < settings.min_gap:
        dropped["under --min-gap"] += 1
        return None
    if pair.probability < settings.min_probability:
        dropped["under --min-probability"] += 1
        return None
    return pair


def _rivals(grove: _Grove, step: int) -> list[Rival]:
    """The rivals at ``step``, the spine's own first; those without a decided draw have n = 0."""
    from stepkit.text.segment import first_step  # here: its patterns take a while to compile

    node = grove.tree["spine"][step]
    spine = Rival(grove.steps[step])
    rivals = {spine.text.strip(): spine}
    outcome, finish = trace.verdict(grove.record, grove.tree)
    if outcome is not None:
        right = _right(outcome, f"tree.outcome[{grove.tree['spine'][-1]}]")
        if finish == "stop" and all(grove.assistant[step:]):
            spine.attempts.append(("".join(grove.steps[step:]), right))
        if step == len(grove.steps) - 1:
            spine.k, spine.n = int(right), 1
    if step < len(grove.steps) - 1:
        for text, right, how in grove.draws(node):
            _count(spine, spine.text + text, right, how)
    for text, right, how in grove.draws(grove.tree["parent"][node]):
        first = first_step(text, _split_rule(grove.record), step)
        if first.strip():
            rival = rivals.setdefault(first.strip(), Rival(first))
            _count(rival, text, right, how)
    return list(rivals.values())


def _count(rival: Rival, text: str, right: bool, finish: str) -> None:
    rival.k += right
    rival.n += 1
    if finish == "stop":
        rival.attempts.append((text, right))


def _split_rule(record: Json) -> Json:
    rule = record.get("split")
    if not isinstance(rule, dict):
        raise DataError(
            'no "split" to cut the draws with: pass the traces through step-split first'
            if rule is None
            else f"expected an object, got {schema.name_of(rule)}",
            "" if rule is None else "split",
        )
    return rule


def _right(outcome: float, field: str) -> bool:
    if outcome not in (0, 1):
        raise DataError(f"pairs need right (1) and wrong (0), got {outcome}", field)
    return outcome == 1
