"""A column in place of draws: a label or score as the values of the states of a trace, or of nodes.

Whatever is a function of StateValues is then made of a reward model's, a critic's, a judge's or a
checker's numbers, or of an earlier label, as it is of draws. Where the column has k and n they
count as draws do, with the interval that these give, provided that its number is their share. What
a sampler drew may have been stopped by a rule that looked at it, which only its own interval tells:
counts of a sampler without ``low`` and ``high`` have none here.

A step that is not the model's and has no number leaves the number before it as it was: a judge says
nothing of a tool's answer, and the next step is compared with the last one that it judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.core.columns import Column
from stepkit.core.labels.state_values import DRAWS, StateValues
from stepkit.errors import DataError
from stepkit.schema import Json

NUMBERS = "numbers"
COUNTS = "counts"
INTERVAL = "interval"
"""What a label or a rule needs of a column: its numbers; also its k and n; or of these also that
nothing but their number decided them, since an interval or a test is made of them."""

CLOSE = 1e-9
"""Apart by less, a number is the share of its counts: decimal places may have been cut off."""


class ColumnSource(NamedTuple):
    """The column that a label is made from, as it was asked for.

    Attributes:
        name: NAME, labels.NAME or scores.NAME.
        root: the number at the root where the column has none.
        counts: for a label that cannot do without k and n, what is made of them, and the way out.
        interval: where it counts, an interval or a test is made of the counts.
        line: the line that divides the numbers was not given, which only probabilities can do
            without.
    """

    name: str
    root: float | None = None
    counts: str = ""
    interval: bool = False
    line: bool = False

    def check(self, column: Column) -> None:
        """Raises DataError for a column that the label cannot be made from."""
        if self.line and not _has_usual_line(column.entry):
            raise DataError(
                "raw numbers, progress and what lies outside 0 .. 1 have no usual line: "
                "give above=T",
                column.field,
            )
        if self.counts and not has_counts(column.entry):
            raise DataError(f"no k and n: {self.counts}", column.field)
        if (
            self.interval
            and _is_counted_by_sampler(column.entry)
            and column.entry.get("low") is None
        ):
            raise DataError(
                "no low and high, which would tell whether a rule stopped the draws: "
                "take the label value",
                column.field,
            )


def kind_of(entry: Json) -> str:
    """What the numbers of an entry are, one of schema.LABEL_KINDS."""
    of = entry.get("of")
    return of if of in schema.LABEL_KINDS else "raw"


def _has_usual_line(entry: Json) -> bool:
    """Are the numbers of an entry probabilities, which one half divides?"""
    x = entry.get("x")
    known = [number for number in x if schema.is_number(number)] if isinstance(x, list) else []
    return kind_of(entry) not in ("raw", "progress") and all(0 <= number <= 1 for number in known)


def has_counts(entry: Json) -> bool:
    """Are there k right of n behind each number of an entry?"""
    return isinstance(entry.get("k"), list) and isinstance(entry.get("n"), list)


def is_drawn(entry: Json) -> bool:
    """Are these values of a sampler: right of decided draws, the end being the verdict?

    What else a sampler's draws have counts of, such as their agreement, is no such value.
    """
    return _is_counted_by_sampler(entry) and kind_of(entry) == "value"


def _is_counted_by_sampler(entry: Json) -> bool:
    return has_counts(entry) and entry.get("by") == "sampler"


NO_COLUMN = Column("scores", "", {})


@dataclass(frozen=True)
class ColumnStates(StateValues):
    """A column as StateValues; ``carried`` are its numbers.

    Attributes:
        column: where they are from.
        known: [n_states] is the number the share of counts that nothing but their number decided?
        ends: [n_states] did an attempt end there? ``settled`` is that where its number is drawn.
        rooted: does the column say anything of the root?
        told: the counts [n_states] that the column has, by name, null where it has none.
    """

    column: Column = NO_COLUMN
    known: Sequence[bool] = ()
    ends: Sequence[bool] = ()
    rooted: bool = True
    told: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return self.column.field

    @property
    def unbounded(self) -> str:
        if not self.counted:
            return "the column counts no draws"
        rows = zip(self.n, self.known, self.settled, strict=True)
        if not any(n and not known and not settled for n, known, settled in rows):
            return ""
        if _is_counted_by_sampler(self.column.entry) and self.column.entry.get("low") is None:
            return "the column does not tell whether a rule stopped its draws"
        return "its numbers are not the shares of its counts, or a rule stopped the draws"

    @property
    def ended(self) -> Sequence[bool]:
        return self.ends

    @property
    def kind(self) -> str:
        return kind_of(self.column.entry)

    @property
    def by(self) -> str:
        by = self.column.entry.get("by")
        return by if isinstance(by, str) else "scorer"

    @property
    def drawn(self) -> bool:
        return is_drawn(self.column.entry)

    @property
    def counted(self) -> bool:
        return has_counts(self.column.entry)

    def ending_with(self, verdict: float | None) -> ColumnStates:
        """The same with the verdict on the attempt as the value of the last state."""
        assert self.carried is not None
        known = verdict is not None
        end = {"k": verdict or 0, "n": int(known), "undecided": int(not known)}
        return replace(
            self,
            told={name: [*column[:-1], end[name]] for name, column in self.told.items()},
            carried=[*self.carried[:-1], verdict],
            k=[*self.k[:-1], verdict or 0.0],
            n=[*self.n[:-1], int(known)],
            undecided=[*self.undecided[:-1], int(not known)],
            known=[*self.known[:-1], known],
            settled=[*self.settled[:-1], known],
        )

    @cached_property
    def shares(self) -> list[float | None]:
        """[n_states] k / n of what was drawn, else the numbers."""
        if not self.drawn:
            return self.values
        return [k / n if n else None for k, n in zip(self.k, self.n, strict=True)]

    def is_share(self, state: int) -> bool:
        return self.known[state]

    def whole_counts(self, state: int) -> tuple[int, int]:
        return _whole_counts(self.k[state], self.n[state], self.column)

    def entry(self, of: str, x: Sequence[float | None], **more: Sequence[Any]) -> Json:
        """As of draws, without a root of which nothing is known."""
        entry = super().entry(of, x, **more)
        if entry["root"]["x"] is None and not self.rooted:
            del entry["root"]
        return entry

    def _counts(self) -> Mapping[str, Sequence[float | None]]:
        return self.told

    def _of(self, of: str) -> str:
        """What is made of raw numbers is no probability either."""
        return "raw" if self.kind == "raw" else of


class _Place(NamedTuple):
    """The columns of an entry at the states: numbers, counts, the lower bound of an interval."""

    x: list[float | None]
    k: list[float | None]
    n: list[float | None]
    undecided: list[float | None]
    low: list[float | None]


def step_states(column: Column, assistant: Sequence[bool], root: float | None) -> ColumnStates:
    """The states of a trace by a column of its steps.

    Args:
        assistant: [n_steps] is the step the model's own?
        root: the number at the root where the column has none.

    Raises DataError for a column that is not what it should be.
    """
    count = len(assistant)
    at_root = _root(column)
    place = _Place(
        *(
            [at_root.get(key), *numbers]
            for key, numbers in zip(_Place._fields, _columns(column, count), strict=True)
        )
    )
    for state, own in enumerate(assistant, 1):
        if not own and place.x[state] is None:
            for numbers in place:
                numbers[state] = numbers[state - 1]
    ends = [state == count > 0 for state in range(count + 1)]
    states = _states(column, place, list(range(-1, count)), ends, list(assistant), root)
    return replace(states, rooted=column.entry.get("root") is not None)


def node_states(column: Column, tree: Json, root: float | None) -> ColumnStates:
    """The nodes of a checked tree by a column of them, the root first. Raises DataError."""
    count = len(tree["parent"])
    ends = [finish != "" for finish in tree["finish"]]
    place = _Place(*_columns(column, count))
    return _states(column, place, tree["parent"], ends, [True] * (count - 1), root)


def _columns(column: Column, count: int) -> list[list[float | None]]:
    """Those of _Place for ``count`` steps or nodes, None where the column has none."""
    found = [list(column.x(count))]
    for key in _Place._fields[1:]:
        numbers = column.counts(key, count) if has_counts(column.entry) else None
        found.append(list(numbers or [None] * count))
    return found


def at_root(column: Column) -> Column:
    """The column of a bare problem, which has no steps, from one of its tree's nodes."""
    root = {
        key: numbers[0]
        for key in _Place._fields
        if isinstance(numbers := column.entry.get(key), list) and numbers
    }
    about: Json = {key: column.entry[key] for key in ("of", "by") if key in column.entry}
    empty: Json = {key: [] for key in root}
    return column._replace(entry={**about, **empty, "root": root}, above="")


def _root(column: Column) -> Json:
    """The numbers at the root: those of ``root``, which may also be one number alone."""
    root = column.entry.get("root")
    if root is None or schema.is_number(root):
        return {"x": root}
    if not isinstance(root, dict):
        raise DataError(
            f"expected an object or a number, got {schema.name_of(root)}", f"{column.field}.root"
        )
    for key in _Place._fields:
        if root.get(key) is not None and not schema.is_number(root[key]):
            raise DataError(
                f"expected a number or null, got {schema.name_of(root[key])}",
                f"{column.field}.root.{key}",
            )
    return root


def _states(
    column: Column,
    place: _Place,
    before: list[int],
    ends: list[bool],
    assistant: list[bool],
    root: float | None,
) -> ColumnStates:
    if place.x[0] is None:
        place.x[0] = root
    k = [float(number or 0) for number in place.k]
    n = [_whole(number, column) for number in place.n]
    drawn = is_drawn(column.entry)
    bounded = column.entry.get("low") is not None or _is_counted_by_sampler(column.entry)
    known = []
    for state, x in enumerate(place.x):
        share = x is not None and n[state] > 0 and abs(x - k[state] / n[state]) < CLOSE
        known.append(share and (place.low[state] is not None or not bounded))

    def outcomes(state: int) -> list[float]:
        right, count = _whole_counts(k[state], n[state], column)
        return [1.0] * right + [0.0] * (count - right)

    return ColumnStates(
        k=k,
        n=n,
        undecided=[_whole(number, column) for number in place.undecided],
        carried=place.x,
        stopped=[""] * len(n),
        before=before,
        settled=[drawn and ended for ended in ends],
        assistant=assistant,
        outcomes=outcomes,
        sampler="",
        backup=DRAWS,
        column=column,
        known=known,
        ends=ends,
        told={
            name: getattr(place, name)
            for name in ("k", "n", "undecided")
            if column.entry.get(name) is not None and has_counts(column.entry)
        },
    )


def _whole_counts(k: float, n: int, column: Column) -> tuple[int, int]:
    if not (0 <= k <= n and k.is_integer()):
        raise DataError("this label needs whole counts, k of n", f"{column.field}.k")
    return int(k), n


def _whole(number: Any, column: Column) -> int:
    if number is not None and (number != int(number) or number < 0):
        raise DataError("a count that is no whole number", f"{column.field}.n")
    return int(number or 0)
