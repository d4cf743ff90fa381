"""Sibling sets: the steps that compete at one prefix, each with the evidence for it.

At a prefix compete the steps that stand there (the trace's own, and those a search grew), each
with the value of its place, and the first steps of the whole remainders drawn there, each with the
one outcome it led to (n = 1), cut by the record's own ``split``. So steps are compared with steps,
never with a whole remainder. Steps that differ only in outer white space are one rival with pooled
counts: a draw that happened to begin with a step is a draw of its value.
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
    """A step, its value, and where the evidence stands.

    Attributes:
        text: the step.
        k, n, value: right and decided outcomes, and their share or a score.
        places: where the step stands in the tree; none when it is only the beginning of draws.
        draws: the draws at the prefix that begin with it.
        nodes: what was counted.
        spine: it is the trace's own step.
        number: its draw's number, to break ties by.
    """

    __slots__ = ("draws", "k", "n", "nodes", "number", "places", "spine", "text", "value")

    def __init__(self, text: str, number: int, spine: bool = False) -> None:
        self.text = text
        self.number = number
        self.spine = spine
        self.k = self.n = 0
        self.value = 0.0
        self.places: list[int] = []
        self.draws: list[int] = []
        self.nodes: list[int] = []

    def order(self) -> tuple[float, int, bool, int, str]:
        """Best first: by value; of equal ones the one with more draws, the trace's own, the first
        drawn."""
        return (-self.value, -self.n, not self.spine, self.number, self.text)


class SiblingSet:
    """The rivals at one place that have a value, from the best to the worst.

    Attributes:
        place: the prefix, as a place of the tree.
        step: the number of steps before.
        rivals: those with a value.
        spine: the trace's own step here, also without a value; None off the trace.
    """

    __slots__ = ("_evidence", "place", "rivals", "spine", "step")

    def __init__(
        self, evidence: RecordPrefixes, place: int, step: int, rivals: list[Sibling]
    ) -> None:
        self._evidence = evidence
        self.place = place
        self.step = step
        self.rivals = sorted((one for one in rivals if one.nodes), key=Sibling.order)
        self.spine = next((one for one in rivals if one.spine), None)

    @property
    def best(self) -> Sibling:
        return self.rivals[0]

    @property
    def worst(self) -> Sibling:
        """The lowest value; of equal ones that with more draws."""
        lowest = self.rivals[-1].value
        return next(one for one in self.rivals if one.value == lowest)

    @property
    def prefix(self) -> str:
        return self._evidence.between(schema.ROOT, self.place)

    @property
    def before(self) -> list[tuple[str, bool]]:
        """The steps of the prefix: text, and whether it is the model's."""
        evidence = self._evidence
        text, others = evidence.tree["text"], evidence.others
        return [(text[one], one not in others) for one in reversed(evidence.path(self.place))]

    @property
    def has_others_before(self) -> bool:
        """True when the prefix holds steps that are not the model's."""
        others = self._evidence.others
        return bool(others) and not others.isdisjoint(self._evidence.path(self.place))

    def ends(self, rival: Sibling, right: bool) -> Iterator[int]:
        """The nodes that ended the attempts through ``rival`` that came to this own end.

        The trace itself, the draws after the step, the draws that begin with it, then those made
        deeper in the tree.
        """
        for node in self._ends(rival):
            decided = self._evidence.outcome(node)
            if decided == (right, "stop"):
                yield node

    def _ends(self, rival: Sibling) -> Iterator[int]:
        evidence = self._evidence
        if rival.spine and all(evidence.own[self.step :]):
            yield evidence.spine[-1]
        for place in rival.places:
            yield from evidence.ends_at(place)
        yield from rival.draws
        for place in rival.places:
            yield from evidence.ends_below(place)

    def text(self, end: int) -> str:
        """The attempt that ended at ``end``, from here on."""
        return self._evidence.between(self.place, end)

    def side(self, rival: Sibling, end: int | None) -> PairSide:
        """A row's side: the step alone, or the attempt ``end`` through it."""
        if end is not None:
            return PairSide(self.text(end), rival.k, rival.n, rival.value, True)
        evidence, step = self._evidence, rival.text.strip()
        text = evidence.tree["text"]
        ends = [*rival.places, *(one for one in rival.draws if text[one].strip() == step)]
        ended = any(evidence.end(end)[1] == "stop" for end in ends)
        return PairSide(rival.text, rival.k, rival.n, rival.value, ended)


def everywhere(
    evidence: RecordPrefixes, backup: Backup, *, drawn: bool = True
) -> Iterator[SiblingSet]:
    """The sibling sets of the whole tree: those of the trace in its order, then those beside it."""
    spine = evidence.spine
    for step, own in enumerate(evidence.own):
        if own:
            place = spine[step - 1] if step else schema.ROOT
            yield at(evidence, place, step, backup, drawn=drawn)
    trunk = {schema.ROOT, *spine} if spine else set()
    for place in sorted({*evidence.steps_at, *evidence.draws_at} - trunk):
        yield at(evidence, place, len(evidence.path(place)), backup, drawn=drawn)


def at(
    evidence: RecordPrefixes, place: int, step: int, backup: Backup, *, drawn: bool = True
) -> SiblingSet:
    """The sibling set at ``place``. ``drawn``: the first steps of draws compete, too."""
    found: dict[str, Sibling] = {}
    mine = evidence.spine[step] if step < len(evidence.spine) else -1
    text = evidence.tree["text"]
    for child in evidence.steps_at.get(place, ()):
        rival = _stands(found, text[child], evidence.number[child], child == mine)
        rival.places.append(child)
        if value := backup(evidence, child):
            rival.k += value.k
            rival.n += value.n
            rival.value = rival.k / rival.n if rival.n else max(rival.value, value.value)
            rival.nodes += value.nodes
    if drawn:
        _add_draws(evidence, place, step, found)
    found.pop("", None)
    return SiblingSet(evidence, place, step, list(found.values()))


def _stands(found: dict[str, Sibling], text: str, number: int, spine: bool = False) -> Sibling:
    """The rival with this text; of several spellings the trace's own stands, else the first drawn.

    Not the first seen: the order of a file's nodes must make no difference.
    """
    key = text.strip()
    rival = found.get(key)
    if rival is None:
        rival = found[key] = Sibling(text, number, spine)
    elif rival.text != text and (not spine, number, text) < (
        not rival.spine,
        rival.number,
        rival.text,
    ):
        rival.text = text
    rival.spine |= spine
    rival.number = min(rival.number, number)
    return rival


def _add_draws(evidence: RecordPrefixes, place: int, step: int, found: dict[str, Sibling]) -> None:
    nodes = evidence.draws_at.get(place, ())
    if not nodes:
        return
    tree, cut = evidence.tree, cutter(evidence.record, step)
    texts, outcomes, numbers = tree["text"], tree["outcome"], tree["draw"]
    for node in nodes:
        outcome = outcomes[node]
        if outcome is not None:
            rival = _stands(found, cut(texts[node]), numbers[node])
            rival.k += is_right(outcome, node)
            rival.n += 1
            rival.value = rival.k / rival.n
            rival.nodes.append(node)
            rival.draws.append(node)


def cutter(record: Json, step: int) -> Callable[[str], str]:
    """What gives the first step of a text by the record's rule, after ``step`` others."""
    rule = record.get("split")
    if not isinstance(rule, dict):
        raise DataError(
            'no "split" to cut the draws with: pass the traces through step-split first'
            if rule is None
            else f"expected an object, got {schema.name_of(rule)}",
            "" if rule is None else "split",
        )
    return _first_line if rule == LINES else lambda text: _first_step(text, rule, step)


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
