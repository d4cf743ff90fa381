"""Labels as they are asked for: ``NAME`` or ``NAME:PARAMETER=VALUE,...``, and the list for people.

Parameters of all labels: ``as`` (the name to write under), ``sampler`` (whose draws count) and,
where its row allows it, ``backup`` (which value of a state is taken), or in place of both ``from``
(a label or score whose numbers are taken for the values) with ``root`` (the number at the root
where it has none).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stepkit.core import pooling
from stepkit.core.labels.column_states import COUNTS, INTERVAL, NUMBERS, ColumnSource
from stepkit.core.labels.label_definition import LabelDefinition, LabelParameter, Value
from stepkit.core.labels.label_registry import GROUP, LABELS, OF_NODES
from stepkit.core.labels.state_values import BACKUPS, COUNTED, DRAWS
from stepkit.errors import UsageError
from stepkit.schema import Json

COMMON = ("as", "sampler", "backup", "from", "root")


class LabelRequest(NamedTuple):
    """A label as it was asked for."""

    name: str  # to write under
    definition: LabelDefinition
    parameters: dict[str, Value]
    sampler: str | None = None  # None: the one for all labels
    backup: str = DRAWS
    source: ColumnSource | None = None  # None: draws

    @property
    def pools(self) -> bool:
        """Does it take draws of other prefixes, and so of other traces of a group?"""
        return self.backup in pooling.NAMES

    @property
    def of_group(self) -> bool:
        """Is it made of the whole group, so that all its records must be there?"""
        return self.parameters.get("over") == GROUP

    @property
    def for_nodes(self) -> bool:
        """Can it be written for every node of a tree?"""
        return self.definition.name in OF_NODES and not self.pools

    @property
    def meta(self) -> Json:
        """What of this decides the numbers, for the entry's ``meta``."""
        label = {} if self.name == self.definition.name else {"label": self.definition.name}
        backup = {} if self.backup == DRAWS else {"backup": self.backup}
        given = {name: x for name, x in self.parameters.items() if x not in ("", None)}
        reason = self.definition.no_interval
        interval = {"interval": f"none: {reason}"} if reason else {}
        return {**label, **backup, **given, **interval}


def parse(text: str) -> LabelRequest:
    """Read ``NAME`` or ``NAME:PARAMETER=VALUE,...``. Raises UsageError."""
    name, _, rest = text.partition(":")
    definition = next((definition for definition in LABELS if definition.name == name), None)
    if definition is None:
        names = ", ".join(definition.name for definition in LABELS)
        raise UsageError(f'--label {text}: no label "{name}"; labels are {names} (see --list)')
    given: dict[str, str] = {}
    for part in rest.split(",") if rest else []:
        key, equals, value = part.partition("=")
        if not equals or not value:
            raise UsageError(f'--label {text}: expected PARAMETER=VALUE, got "{part}"')
        if key in given:
            raise UsageError(f"--label {text}: {key} is given twice")
        given[key] = value
    try:
        return _request(definition, given)
    except UsageError as error:
        raise UsageError(f"--label {text}: {error}") from None


def _request(definition: LabelDefinition, given: dict[str, str]) -> LabelRequest:
    common = {key: given.pop(key) for key in COMMON if key in given}
    known = {parameter.name: parameter for parameter in definition.parameters}
    if unknown := sorted(given.keys() - known.keys()):
        have = ", ".join([*known, *COMMON])
        raise UsageError(f"no parameter {unknown[0]}; {definition.name} has {have}")
    for name, parameter in known.items():
        if parameter.must and name not in given:
            raise UsageError(f"{name}= must be given: {parameter.about}")
    parameters = {
        name: one.read(given[name]) if name in given else one.default for name, one in known.items()
    }
    _check_order(parameters)
    source = _source(definition, parameters, common, "above" in given)
    backup = common.get("backup", DRAWS)
    if backup not in BACKUPS:
        raise UsageError(f"backup={backup}: expected one of {', '.join(BACKUPS)}")
    counts = _needs_counts(definition, parameters)
    allowed = [name for name in definition.backups if not counts or name in COUNTED]
    if backup not in allowed:
        raise UsageError(f"backup={backup}: here it can only be {', '.join(allowed)}")
    name = common.get("as", definition.name)
    if name == "gold":
        raise UsageError("labels.gold is for imported truth")
    return LabelRequest(name, definition, parameters, common.get("sampler"), backup, source)


def _check_order(parameters: dict[str, Value]) -> None:
    """Raises UsageError for a lower line that is over the upper one."""
    above, below = parameters.get("above"), parameters.get("below")
    if isinstance(above, float) and isinstance(below, float) and below > above:
        raise UsageError(f"below={below:g} is over above={above:g}")


def _needs_counts(definition: LabelDefinition, parameters: dict[str, Value]) -> bool:
    """An interval and the best of k are made of counts, not of a value alone."""
    with_interval = definition.name == "threshold" and parameters["z"] != 0
    return with_interval or parameters.get("k", 1) != 1


def _source(
    definition: LabelDefinition,
    parameters: dict[str, Value],
    common: dict[str, str],
    line_given: bool,
) -> ColumnSource | None:
    """The column in place of draws, None for draws. Raises UsageError for what has no effect."""
    name = common.get("from")
    if name is None:
        if "root" in common:
            raise UsageError("root has no effect without from")
        if definition.name == "hard" and parameters["above"] is not None:
            raise UsageError("above has no effect without from: hard is 1 if any draw was right")
        return None
    if not definition.column:
        raise UsageError(f"from has no effect: {_NO_COLUMN[definition.name]}")
    for other in ("sampler", "backup"):
        if other in common:
            raise UsageError(f"{other} has no effect with from, which takes the place of draws")
    counts, interval = "", definition.column == INTERVAL or _needs_counts(definition, parameters)
    if definition.column != NUMBERS:
        counts = f"{definition.name} is made of independent draws that are counted"
    elif definition.name == "ternary":
        interval = parameters["z"] != 0
        # One line leaves nothing between, unless an interval does.
        if interval and parameters["below"] is None:
            counts = "its classes go by an interval, or by two lines: give below=T"
    elif interval:
        counts = f"for this there must be some: give {'z=0' if 'z' in parameters else 'k=1'}"
    line = not line_given and "above" in parameters
    root = _ROOT.read(common["root"]) if "root" in common else None
    assert not isinstance(root, str)
    return ColumnSource(name, root, counts, interval, line)


_ROOT = LabelParameter("root", None, "the number at the root where the column has none")
_NO_COLUMN = {
    "weighted": "it is made of the texts of the draws",
    "outcome": "it is the verdict on the attempt",
    "consensus": "its sources are those of=",
}


def parse_all(texts: Sequence[str]) -> tuple[LabelRequest, ...]:
    """Read several; the same text twice counts once. Raises UsageError for one name twice."""
    requests = [parse(text) for text in dict.fromkeys(texts)]
    names = [one.name for one in requests]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"labels.{name} is asked for twice; name one with as=NAME")
    return tuple(requests)


def listing() -> str:
    """The table for people: a label a line, its parameters below it."""
    lines = []
    for label in LABELS:
        needs = f"; needs {label.needs}" if label.needs else ""
        lines.append(f"{label.name:<11}{label.about} ({label.source}){needs}")
        for parameter in label.parameters:
            words = f" ({' or '.join(parameter.words)})" if parameter.words else ""
            default = "" if parameter.default in ("", None) else f", default {parameter.default}"
            lines.append(f"{'':<13}{parameter.name:<8} {parameter.about}{words}{default}")
    counted = ", ".join(label.name for label in LABELS if label.column in (COUNTS, INTERVAL))
    never = ", ".join(label.name for label in LABELS if not label.column)
    lines.append("")
    lines.append("of every label:")
    lines.append(f"{'':<13}{'as':<9}the name to write under, default the label's")
    lines.append(f"{'':<13}{'sampler':<9}whose draws count, by id or index")
    lines.append(f"{'':<13}{'backup':<9}which value of a state: {', '.join(BACKUPS)}")
    lines.append(f"{'':<13}{'from':<9}a label or score in place of draws; not of {never};")
    lines.append(f"{'':<22}with k and n of {counted}")
    lines.append(f"{'':<13}{_ROOT.name:<9}{_ROOT.about}")
    return "\n".join(lines)
