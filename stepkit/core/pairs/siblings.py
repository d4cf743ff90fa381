"""Sibling sets: the steps that compete at one prefix, each with the evidence for it.

At a prefix compete the next steps in the tree (the trace's own, and those a search grew), each
with the value of its place, and the first steps of the whole continuations drawn there, each with
the one outcome it led to (n = 1), cut by the record's own ``split``. So steps are compared with
steps, never with a whole continuation. Steps that differ only in outer white space are one sibling
with pooled counts: a draw whose first step is an equal one is a draw of its value. Scores, which
have no counts, are averaged instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stepkit import schema
from stepkit.core.pairs.record_prefixes import RecordPrefixes, is_right
from stepkit.core.pairs.step_values import Backup
from stepkit.core.training_rows import PairSide
from stepkit.errors import DataError
from stepkit.schema import Json

LINES = {"by": "lines"}


class Sibling:
    """A step, its value, and where the evidence is.

    Attributes:
        text: the step.
        k, n: right and decided outcomes.
        scores: of the places where it is, where the value is a score without counts.
        places: where the step is in the tree; none when it is only the first step of draws.
        draws: the draws at the prefix whose first step it is.
        nodes: what was counted.
        spine: it is the trace's own step.
        number: its draw's number, to break ties by.
    """

    __slots__ = ("draws", "k", "n", "nodes", "number", "places", "scores", "spine", "text")

    def __init__(self, text: str, number: int, spine: bool = False) -> None:
        self.text = text
        self.number = number
        self.spine = spine
        self.k = self.n = 0
        self.scores: list[float] = []
        self.places: list[int] = []
        self.draws: list[int] = []
        self.nodes: list[int] = []

    @property
    def value(self) -> float:
        """The share of right outcomes, or the mean score of the places; 0 without either."""
        if self.n:
            return self.k / self.n
        return sum(sorted(self.scores)) / len(self.scores) if self.scores else 0.0

    def order(self) -> tuple[float, int, bool, int, str]:
        """Best first: by value; of equal ones the one with more draws, the trace's own, the first
        drawn."""
        return (-self.value, -self.n, not self.spine, self.number, self.text)


class SiblingSet:
    """The siblings at one place that have a value, from the best to the worst.

    Attributes:
        place: the prefix, as a place of the tree.
        step: the number of steps before.
        members: the siblings with a value.
        spine: the trace's own step here, also without a value; None off the trace.
    """

    __slots__ = ("_prefixes", "members", "place", "spine", "step")

    def __init__(
        self, prefixes: RecordPrefixes, place: int, step: int, siblings: list[Sibling]
    ) -> None:
        self._prefixes = prefixes
        self.place = place
        self.step = step
        self.members = sorted((one for one in siblings if one.nodes), key=Sibling.order)
        self.spine = next((one for one in siblings if one.spine), None)

    @property
    def best(self) -> Sibling:
        return self.members[0]

    @property
    def worst(self) -> Sibling:
        """The lowest value; of equal ones that with more draws."""
        lowest = self.members[-1].value
        return next(one for one in self.members if one.value == lowest)

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
    prefixes: RecordPrefixes, backup: Backup, *, drawn: bool = True
) -> Iterator[SiblingSet]:
    """The sibling sets of the whole tree: those on the trace in its order, then those off it."""
    spine = prefixes.spine
    for step, own in enumerate(prefixes.own):
        if own:
            place = spine[step - 1] if step else schema.ROOT
            yield siblings_at(prefixes, place, step, backup, drawn=drawn)
    trunk = {schema.ROOT, *spine} if spine else set()
    for place in sorted({*prefixes.steps_at, *prefixes.draws_at} - trunk):
        yield siblings_at(prefixes, place, len(prefixes.path(place)), backup, drawn=drawn)


def siblings_at(
    prefixes: RecordPrefixes, place: int, step: int, backup: Backup, *, drawn: bool = True
) -> SiblingSet:
    """The sibling set at ``place``. ``drawn``: the first steps of draws compete, too."""
    found: dict[str, Sibling] = {}
    own = prefixes.spine[step] if step < len(prefixes.spine) else -1
    text = prefixes.tree["text"]
    for child in prefixes.steps_at.get(place, ()):
        sibling = _sibling_with(found, text[child], prefixes.number[child], child == own)
        sibling.places.append(child)
        if value := backup(prefixes, child):
            sibling.k += value.k
            sibling.n += value.n
            if not value.n:
                sibling.scores.append(value.value)
            sibling.nodes += value.nodes
    if drawn:
        _add_draws(prefixes, place, step, found)
    found.pop("", None)
    return SiblingSet(prefixes, place, step, list(found.values()))


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
            sibling = _sibling_with(found, cut(texts[node]), numbers[node])
            sibling.k += is_right(outcome, node)
            sibling.n += 1
            sibling.nodes.append(node)
            sibling.draws.append(node)


def cutter(record: Json, step: int) -> Callable[[str], str]:
    """What gives the first step of a text by the record's rule, after ``step`` others."""
    rule = split_rule(record)
    return _first_line if rule == LINES else lambda text: _first_step(text, rule, step)


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
