"""The label ``consensus``: what several labels and scores of a record make of its first error."""

from __future__ import annotations

from collections.abc import Mapping

from stepkit import schema
from stepkit.core import first_error_consensus, trace
from stepkit.core.labels.first_error_rules import FirstRule, first_error
from stepkit.errors import DataError
from stepkit.schema import Json


def agreement(record: Json, new: Mapping[str, Json], of: str, below: float) -> Json:
    """Compare the sources named in ``of``, joined by "+"; see core/first_error_consensus.py.

    A source is a label that was asked for before this one, else one of ``labels``, else one of
    ``scores``. What it says is its ``first``, or else the first step whose ``x`` is under
    ``below``. Raises DataError for a source that is not there, or not what it should be.
    """
    names = of.split("+")
    firsts = {name: _first_of(record, new, name, below) for name in names}
    if len(firsts) < 2:
        raise DataError(f"{of}: a consensus needs two sources, as in of=hard+judge", "labels")
    found = first_error_consensus.consensus(firsts)
    count = len(schema.steps(record))
    own = trace.assistant_steps(record, count)
    x = first_error_consensus.labels(found.first, count)
    entry: Json = {
        "of": "validity",
        "by": "sampler",
        "x": [label if mine else None for label, mine in zip(x, own, strict=True)],
        "first": found.first,
    }
    if found.why:
        entry["why"] = found.why
    return {**entry, "meta": {"sources": firsts, "kind": found.kind or "agreement"}}


def _first_of(record: Json, new: Mapping[str, Json], name: str, below: float) -> int | None:
    steps = schema.steps(record)
    key, entry = "labels", new.get(name)
    if entry is None:
        labels = record.get("labels")
        key = "labels" if isinstance(labels, dict) and name in labels else "scores"
        _, entry = trace.named(record, key, name, "of=NAME+NAME")
    if "first" in entry:
        return trace.first_of(entry, len(steps), f"{key}.{name}")
    x = trace.step_numbers(entry, len(steps), f"{key}.{name}")
    rule = FirstRule("below", below, "")
    return first_error(rule, [None, *x], trace.assistant_steps(record, len(steps)))
