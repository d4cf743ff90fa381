"""A column: one entry of ``labels`` or ``scores``, of the steps of a trace or the nodes of a tree.

Both hold the same shape, so whatever reads one kind reads the other. An option that names a column
takes ``NAME``, or ``labels.NAME`` or ``scores.NAME`` where a record has both. Which numbers it
means is decided by what the command works on: the trace's own steps (the entries at the top of the
record) or the nodes of its tree (those of ``tree``).

Only reads and checks; raises DataError naming the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.errors import DataError
from stepkit.schema import Json

KINDS = ("labels", "scores")
NO_ENTRIES: Json = {}
NO_PROBABILITIES = {
    "raw": "raw numbers are no probabilities",
    "progress": "progress, a difference of values, is no probability",
}
"""By what a column is of (schema.LABEL_KINDS), why its numbers are none."""


class Column(NamedTuple):
    """An entry and where it stands.

    Attributes:
        kind: "labels" or "scores".
        name: of the entry.
        entry: what it holds: ``of``, ``by``, ``x``, ``k``, ``n`` and the rest.
        above: path of what holds ``labels`` and ``scores``: "" for a record, "tree" for its nodes.
    """

    kind: str
    name: str
    entry: Json
    above: str = ""

    @property
    def field(self) -> str:
        """Its path in the record, for messages."""
        path = f"{self.kind}.{self.name}"
        return f"{self.above}.{path}" if self.above else path

    @property
    def raw(self) -> bool:
        """Are its numbers no probabilities?"""
        return bool(self.entry.get("of", "raw") == "raw")

    @property
    def why_no_probability(self) -> str:
        """Why its numbers are no probabilities; "" where they may be, each that is from 0 to 1."""
        of, meta = self.entry.get("of", "raw"), self.entry.get("meta")
        unit = meta.get("unit") if isinstance(meta, dict) and of == "confidence" else None
        if isinstance(unit, str) and not unit.startswith("share"):
            return f"numbers in {unit} are no probabilities"
        return NO_PROBABILITIES.get(of, "") if isinstance(of, str) else ""

    def x(self, count: int) -> list[float | None]:
        """Its number or None for each of ``count`` steps (of nodes, below "tree")."""
        return numbers(self.entry.get("x"), count, f"{self.field}.x", self._what)

    def counts(self, key: str, count: int) -> list[float | None] | None:
        """Another of its columns, such as ``k`` or ``n``; None where it has none."""
        found = self.entry.get(key)
        if found is None:
            return None
        return numbers(found, count, f"{self.field}.{key}", self._what)

    def first(self, count: int) -> int | None:
        """Its ``first``: a step, -1 for no error, None for unknown or not said."""
        return first_of(self.entry, count, self.field)

    @property
    def _what(self) -> str:
        return "nodes" if self.above else "steps"


def find_column(
    holder: Json,
    name: str | None,
    option: str,
    *,
    usual: str = "scores",
    above: str = "",
    new: Mapping[str, Json] = NO_ENTRIES,
) -> Column:
    """The column ``name`` of a record, or of its tree.

    Args:
        holder: what has ``labels`` and ``scores``.
        name: NAME, labels.NAME or scores.NAME; None is the only one of the ``usual`` kind.
        option: what chooses one on the command line, for the message.
        usual: the kind that the option is mostly used with.
        above: "tree" when ``holder`` is a record's tree.
        new: labels made in this run, which go before those in the record.

    Raises DataError where there is none, where NAME is both a label and a score, and for an entry
    that is no object.
    """
    if name is None:
        return _only(holder, option, usual, above)
    kinds, name = _parted(name)
    found = list(kinds)
    if len(kinds) > 1:
        found = [kind for kind in KINDS if name in _entries(holder, kind, above)]
        if name in new and "labels" not in found:
            found.insert(0, "labels")
    if len(found) == 2:
        raise DataError(
            f"both a label and a score; write labels.{name} or scores.{name} with {option}",
            _path(above, name),
        )
    kind = found[0] if found else usual
    if kind == "labels" and name in new:
        return Column(kind, name, new[name], above)
    entries = _entries(holder, kind, above)
    if name not in entries:
        raise DataError(f"missing; {_listed(holder, above, new)}", _path(above, kind, name))
    return _column(entries, kind, name, above)


def column_path(name: str, usual: str) -> str:
    """``labels.NAME`` or ``scores.NAME``: the ``usual`` kind where ``name`` does not say which."""
    kinds, bare = _parted(name)
    return f"{kinds[0] if len(kinds) == 1 else usual}.{bare}"


def has_column(holder: Json, name: str, above: str = "") -> bool:
    """Is there a column of that name? Raises DataError where labels or scores are no object."""
    kinds, name = _parted(name)
    return any(name in _entries(holder, kind, above) for kind in kinds)


def all_columns(holder: Json, above: str = "") -> list[Column]:
    """Every column of a record, or of its tree: the labels, then the scores, in their order."""
    return [
        _column(entries, kind, name, above)
        for kind in KINDS
        for entries in [_entries(holder, kind, above)]
        for name in entries
    ]


def node_scores(tree: Json) -> dict[str, Json]:
    """The entries of ``tree.scores``, each with one number or null per node. Raises DataError."""
    found = {}
    for column in all_columns(tree, "tree"):
        if column.kind == "scores":
            column.x(len(tree["parent"]))
            found[column.name] = column.entry
    return found


def numbers(x: Any, count: int, field: str, what: str = "steps") -> list[float | None]:
    """A list of one number or null for each of ``count`` steps (or other ``what``), checked."""
    if not isinstance(x, list):
        raise DataError(f"expected a list, got {schema.name_of(x)}", field)
    if len(x) != count:
        raise DataError(f"{len(x)} entries, but there are {count} {what}", field)
    for step, value in enumerate(x):
        if value is not None and not schema.is_number(value):
            raise DataError(
                f"expected a number or null, got {schema.name_of(value)}", f"{field}[{step}]"
            )
    return x


def first_of(entry: Json, count: int, field: str) -> int | None:
    """The ``first`` of an entry: a step, -1 for no error, None for unknown.

    Args:
        count: how many steps there are.
        field: path of the entry, for the message.
    """
    first = entry.get("first")
    if first is not None and (type(first) is not int or not -1 <= first < count):
        raise DataError(f"expected a step (0 .. {count - 1}), -1 or null", f"{field}.first")
    return first


def _parted(name: str) -> tuple[tuple[str, ...], str]:
    """The kinds that a name can be of, and the name by itself."""
    kind, dot, rest = name.partition(".")
    return ((kind,), rest) if dot and kind in KINDS else (KINDS, name)


def _only(holder: Json, option: str, usual: str, above: str) -> Column:
    entries = _entries(holder, usual, above)
    if len(entries) != 1:
        other = {name for kind in KINDS for name in _entries(holder, kind, above)}
        why = f"choose one with {option}" if other else f"run {_MAKER[usual]} first"
        have = f"{usual} here: {_names(entries)}"
        have = have if entries or not other else _listed(holder, above, {})
        raise DataError(f"{have}; {why}", _path(above, usual))
    (name,) = entries
    return _column(entries, usual, name, above)


def _column(entries: Json, kind: str, name: str, above: str) -> Column:
    entry = entries[name]
    if not isinstance(entry, dict):
        raise DataError(
            f"expected an object, got {schema.name_of(entry)}", _path(above, kind, name)
        )
    return Column(kind, name, entry, above)


def _entries(holder: Json, kind: str, above: str) -> Json:
    entries = holder.get(kind)
    if entries is None:
        return NO_ENTRIES
    if not isinstance(entries, dict):
        raise DataError(f"expected an object, got {schema.name_of(entries)}", _path(above, kind))
    return entries


def _listed(holder: Json, above: str, new: Mapping[str, Json]) -> str:
    labels = {**_entries(holder, "labels", above), **new}
    scores = _entries(holder, "scores", above)
    return f"labels here: {_names(labels)}; scores here: {_names(scores)}"


def _names(entries: Mapping[str, Any]) -> str:
    return ", ".join(sorted(entries)) or "none"


def _path(*parts: str) -> str:
    return ".".join(part for part in parts if part)


_MAKER = {"labels": "step-label", "scores": "step-score"}
