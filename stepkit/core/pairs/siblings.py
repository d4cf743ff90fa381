"""Sibling sets: the steps that compete at one prefix, each with the evidence for it.

At a prefix compete the next steps in the tree (the trace's own, and those a search grew), each
with the value of its place, and the first steps of the whole continuations drawn there, each with
the one outcome it led to (n = 1), cut by the record's own ``split``. So steps are compared with
steps, never with a whole continuation, nor with a stretch between two forks (stretches.py):
stretches compete with each other alone, as attempts through them. Steps that differ only in outer
white space are one sibling with pooled counts: a draw whose first step is an equal one is a draw of
its value. Scores, which have no counts, are averaged instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stepkit import schema
from stepkit.core.pairs import sibling_ranks
from stepkit.core.pairs.evidence_reading import EvidenceReading
from stepkit.core.pairs.record_prefixes import RecordPrefixes, is_right
from stepkit.core.pairs.sibling_ranks import Rank
from stepkit.core.pairs.step_values import StepValue
from stepkit.core.training_rows import PairSide
from stepkit.errors import DataError
from stepkit.schema import Json

LINES = {"by": "lines"}


class Sibling:
    """A step, its value, and where the evidence is.

    Attributes:
        text: the step.
        k, n: right and decided draws, each once; 0 of 0 where the value is a score.
        weight: what the value is a mean of: draws, simulations, or scores.
        places: where the step is in the tree; none when it is only the first step of draws.
        draws: the draws at the prefix whose first step it is.
        nodes: what was counted.
        spine: it is the trace's own step.
        number: its draw's number, to break ties by.
        certain: all that was counted are ends of the attempt at this very step, with one verdict.
        rank: where it stands in its set (sibling_ranks.py).
    """

    __slots__ = (
        "_ends", "_totals", "draws", "k", "n", "nodes", "number", "places", "rank", "spine",
        "text", "weight",
    )  # fmt: skip

    def __init__(self, text: str, number: int, spine: bool = False) -> None:
        self.text = text
        self.number = number
        self.spine = spine
        self.k = self.n = self.weight = 0
        self._ends = True
        self._totals: list[float] = []
        self.places: list[int] = []
        self.draws: list[int] = []
        self.nodes: list[int] = []
        self.rank = Rank(0.0, 0.0)

    def add(self, value: StepValue) -> None:
        """Pool a value with those it has."""
        self.k += value.k
        self.n += value.n
        self.weight += value.weight
        self._ends &= value.certain
        self._totals.append(value.total)
        self.nodes += value.nodes

    @property
    def value(self) -> float:
        """The share of right outcomes, or the mean score of the places; 0 without either."""
        return sum(sorted(self._totals)) / self.weight if self.weight else 0.0

    @property
    def certain(self) -> bool:
        return self._ends and self.k in (0, self.n)

    @property
    def visits(self) -> int:
        """The draws or simulations that the value is the share of; 0 of a score."""
        return self.weight if self.n else 0

    def order(self) -> tuple[float, float, int, bool, int, str]:
        """Best first, for what is chosen: by rank; of equal ones the one with more draws, the
        trace's own, the first drawn."""
        return (-self.rank.low, -self.rank.high, *self._ties())

    def worst_order(self) -> tuple[float, float, int, bool, int, str]:
        """Worst first, for what is rejected."""
        return (self.rank.high, self.rank.low, *self._ties())

    def _ties(self) -> tuple[int, bool, int, str]:
        return -self.n, not self.spine, self.number, self.text


class SiblingSet:
    """The siblings at one place that have a value, from the best to the worst.

    Attributes:
        place: the prefix, as a place of the tree.
        step: the number of steps before.
        members: the siblings with a value.
        spine: the trace's own step here, also without a value; None off the trace.
        stretches: these are stretches between forks, not steps.
    """

    __slots__ = ("_prefixes", "members", "place", "spine", "step", "stretches")

    def __init__(
        self,
        prefixes: RecordPrefixes,
        place: int,
        step: int,
        siblings: list[Sibling],
        rank: str = sibling_ranks.DEFAULT,
        stretches: bool = False,
    ) -> None:
        self._prefixes = prefixes
        self.place = place
        self.step = step
        self.stretches = stretches
        known = [one for one in siblings if one.nodes]
        for one in known:
            one.rank = sibling_ranks.rank(rank, one.value, 0 if one.certain else one.n)
        self.members = sorted(known, key=Sibling.order)
        self.spine = next((one for one in siblings if one.spine), None)

    @property
    def best(self) -> Sibling:
        return self.members[0]

    @property
    def worst(self) -> Sibling:
        """The lowest, for what is rejected; of equal ones that with more draws."""
        return min(self.members, key=Sibling.worst_order)

    @property
    def prefix(self) -> str:
        return self._prefixes.between(schema.ROOT, self.place)

    @property
    def before(self) -> list[tuple[str, bool]]:
        """The steps of the prefix: text, and whether it is the model's."""
        prefixes = self._prefixes
        text, others = prefixes.tree["text"], prefixes.others
        return [(text[one], one not in others) for one in reversed(prefixes.path(self.place))]

    @property
    def has_others_before(self) -> bool:
        """True when the prefix holds steps that are not the model's."""
        others = self._prefixes.others
        return bool(others) and not others.isdisjoint(self._prefixes.path(self.place))

    def ends(self, sibling: Sibling, right: bool) -> Iterator[int]:
        """The nodes that ended the attempts through ``sibling`` that came to this own end.

        The trace itself, the draws after the step, the draws whose first step it is, then those
        made deeper in the tree.
        """
        for node in self._ends(sibling):
            decided = self._prefixes.outcome(node)
            if decided == (right, "stop"):
                yield node

    def _ends(self, sibling: Sibling) -> Iterator[int]:
        prefixes = self._prefixes
        if sibling.spine and all(prefixes.own[self.step :]):
            yield prefixes.spine[-1]
        for place in sibling.places:
            yield from prefixes.ends_at(place)
        yield from sibling.draws
        for place in sibling.places:
            yield from prefixes.ends_below(place)

    def text(self, end: int) -> str:
        """The attempt that ended at ``end``, from here on."""
        return self._prefixes.between(self.place, end)

    def side(self, sibling: Sibling, end: int | None) -> PairSide:
        """A row's side: the step alone, or the attempt ``end`` through it."""
        if end is not None:
            return PairSide(self.text(end), sibling.k, sibling.n, sibling.value, True)
        prefixes, step = self._prefixes, sibling.text.strip()
        text = prefixes.tree["text"]
        ends = [*sibling.places, *(one for one in sibling.draws if text[one].strip() == step)]
        ended = any(prefixes.end(end)[1] == "stop" for end in ends)
        return PairSide(sibling.text, sibling.k, sibling.n, sibling.value, ended)


def sibling_sets(
    prefixes: RecordPrefixes, reading: EvidenceReading, *, grown: bool = False
) -> Iterator[SiblingSet]:
    """The sibling sets of the whole tree: those on the trace in its order, then those off it.

    Args:
        grown: of steps in the tree alone, not of the first steps of draws.
    """
    spine = prefixes.spine
    for step, own in enumerate(prefixes.own):
        if own:
            place = spine[step - 1] if step else schema.ROOT
            yield from sets_at(prefixes, place, step, reading, grown=grown)
    trunk = {schema.ROOT, *spine} if spine else set()
    for place in sorted({*prefixes.steps_at, *prefixes.draws_at} - trunk):
        yield from sets_at(prefixes, place, len(prefixes.path(place)), reading, grown=grown)


def sets_at(
    prefixes: RecordPrefixes,
    place: int,
    step: int,
    reading: EvidenceReading,
    *,
    grown: bool = False,
) -> Iterator[SiblingSet]:
    """The steps at ``place``, and the stretches, where it has any: each kind by itself."""
    yield siblings_at(prefixes, place, step, reading, grown=grown)
    here = prefixes.steps_at.get(place, ())
    if not prefixes.stretches.isdisjoint(here):
        yield siblings_at(prefixes, place, step, reading, stretches=True)


def siblings_at(
    prefixes: RecordPrefixes,
    place: int,
    step: int,
    reading: EvidenceReading,
    *,
    grown: bool = False,
    stretches: bool = False,
) -> SiblingSet:
    """The sibling set at ``place``.

    Args:
        grown: without the first steps of draws.
        stretches: the set of the stretches there, in place of the steps.
    """
    found: dict[str, Sibling] = {}
    own = prefixes.spine[step] if step < len(prefixes.spine) else -1
    text, backup = prefixes.tree["text"], reading.backup
    for child in prefixes.steps_at.get(place, ()):
        if (child in prefixes.stretches) is not stretches:
            continue
        sibling = _sibling_with(found, text[child], prefixes.number[child], child == own)
        sibling.places.append(child)
        if value := backup(prefixes, child):
            sibling.add(value)
    if reading.drawn and not (grown or stretches):
        _add_draws(prefixes, place, step, found)
    found.pop("", None)
    return SiblingSet(prefixes, place, step, list(found.values()), reading.rank, stretches)


def _sibling_with(
    found: dict[str, Sibling], text: str, number: int, spine: bool = False
) -> Sibling:
    """The sibling with this text; spelled as in the trace, else as first drawn.

    Not the first seen: the order of a file's nodes must make no difference.
    """
    key = text.strip()
    sibling = found.get(key)
    if sibling is None:
        sibling = found[key] = Sibling(text, number, spine)
    elif sibling.text != text and (not spine, number, text) < (
        not sibling.spine,
        sibling.number,
        sibling.text,
    ):
        sibling.text = text
    sibling.spine |= spine
    sibling.number = min(sibling.number, number)
    return sibling


def _add_draws(prefixes: RecordPrefixes, place: int, step: int, found: dict[str, Sibling]) -> None:
    nodes = prefixes.draws_at.get(place, ())
    if not nodes:
        return
    tree, cut = prefixes.tree, cutter(prefixes.record, step)
    texts, outcomes, numbers = tree["text"], tree["outcome"], tree["draw"]
    for node in nodes:
        outcome = outcomes[node]
        if outcome is not None:
            first = cut(texts[node])
            sibling = _sibling_with(found, first, numbers[node])
            k, ended = int(is_right(outcome, node)), first.strip() == texts[node].strip()
            sibling.add(StepValue(k, 1, k, 1, (node,), ended))
            sibling.draws.append(node)


def cutter(record: Json, step: int) -> Callable[[str], str]:
    """What gives the first step of a text by the record's rule, after ``step`` others."""
    rule = split_rule(record)
    return _first_line if rule == LINES else lambda text: _first_step(text, rule, step)


def rest_cutter(record: Json) -> Callable[[str, int], list[str]]:
    """What gives all steps of a text by the record's rule, after so many others."""

    def cut(text: str, before: int) -> list[str]:
        from stepkit.text.segment import split_continuation  # here: its patterns take a while

        return split_continuation(text, split_rule(record), before)

    return cut


def split_rule(record: Json) -> Json:
    """The rule that the record's steps were cut by. Raises DataError without one."""
    rule = record.get("split")
    if not isinstance(rule, dict):
        raise DataError(
            'no "split" to cut the draws with: pass the traces through step-split first'
            if rule is None
            else f"expected an object, got {schema.name_of(rule)}",
            "" if rule is None else "split",
        )
    return rule


def _first_step(text: str, rule: Json, step: int) -> str:
    from stepkit.text.segment import first_step  # here: its patterns take a while to compile

    return first_step(text, rule, step)


def _first_line(text: str) -> str:
    """The same for LINES; the plainest case, a line and then another, by hand: cutting is most of
    the work of a large file."""
    cut = text.find("\n") + 1
    if 0 < cut < len(text) and not text[cut].isspace() and not text[:cut].isspace():
        return text[:cut]
    return _first_step(text, LINES, 0)
