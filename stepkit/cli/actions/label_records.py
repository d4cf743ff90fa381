"""step-label's work on records: labels merged into each, and copies with two steps merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from stepkit import schema
from stepkit.cli.actions.record_fields import derived_traces, with_version
from stepkit.core import labels
from stepkit.errors import DataError, UsageError
from stepkit.runner.run import Result

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record

COLUMNS = ("finish", "outcome", "final")

Made: TypeAlias = schema.Json | DataError


def settings_of(
    names: Sequence[str],
    first: str | None,
    score: str | None,
    sampler: str | None,
    undecided: str,
    pool: bool,
    nodes: bool,
) -> labels.LabelSettings:
    """What to label, checked. Raises UsageError for what has no effect or cannot be read.

    Args:
        names: labels as ``NAME[:PARAMETER=VALUE,...]``; none: the default ones.
        nodes: the nodes of the trees are labelled, too.
    """
    asked = None if first is None else labels.parse_first_error(first)
    if score is not None and (asked is None or not asked.rule.column):
        rules = labels.first_error_usage(of_column=True)
        raise UsageError(f"--from has no effect without --first {rules}")
    wanted = labels.parse_all(names) if names else None
    if asked is not None and any(
        made_for_record.name == "first" for made_for_record in wanted or ()
    ):
        raise UsageError("labels.first is what --first writes; choose another as=NAME")
    of_group = [one.name for one in wanted or () if one.of_group]
    if of_group and not pool:
        raise UsageError(f"--label {of_group[0]}: over=group needs --pool")
    if pool and not (of_group or any(one.pools for one in wanted or ())):
        raise UsageError(
            "--pool has no effect without a label with backup=pooled, backup=later or over=group"
        )
    if (
        nodes
        and wanted is not None
        and not any(made_for_record.for_nodes for made_for_record in wanted)
    ):
        raise UsageError("--nodes has no effect: none of these labels is one of a node by itself")
    return labels.LabelSettings(wanted, asked, score, sampler, undecided, pool)


class UndecidedDraws:
    """Counts the draws that have no verdict, for one line where they count as wrong."""

    def __init__(self) -> None:
        self.total = self.unanswered = 0

    def add(self, records: Sequence[Record]) -> None:
        """Those of ``records``; a tree that is broken is an error of its label, not of this.

        An attempt without a tree is a draw, too.
        """
        for record in records:
            tree = record.data.get("tree")
            if tree is None and record.data.get("correct", True) is None:
                self.total += 1
                self.unanswered += record.data.get("final") is None
            columns = [tree.get(name) for name in COLUMNS] if isinstance(tree, dict) else []
            if not all(isinstance(column, list) for column in columns):
                continue
            for finish, outcome, final in zip(*columns, strict=False):
                if outcome is None and finish in ("stop", "length"):
                    self.total += 1
                    self.unanswered += final is None

    def note(self) -> str:
        if not self.total:
            return ""
        return (
            f"undecided draws counted as wrong: {self.total}, "
            f"{self.unanswered} of them without an answer"
        )


def label_block(
    records: list[Record], settings: labels.LabelSettings, nodes: bool, merge: int
) -> list[Result]:
    """Label each record of a block, or return its error in its place.

    Args:
        nodes: write ``tree.labels``, too.
        merge: also write each trace up to so many times with two neighbouring steps as one.
    """
    data = [record.data for record in records]
    results: Sequence[Made] = labels.label(data, settings)
    of_nodes: Sequence[Made] = labels.label_nodes(data, settings) if nodes else [{}] * len(data)
    made = zip(records, results, of_nodes, strict=True)
    return [_labelled(*row, merge) for row in made]


def label_group(
    records: list[Record], settings: labels.LabelSettings, nodes: bool, merge: int
) -> list[Record]:
    """The same for the records of one group, whose draws are pooled. Raises its first error."""
    made: list[Record] = []
    results = label_block(records, settings, nodes, merge)
    for record, result in zip(records, results, strict=True):
        if isinstance(result, DataError):
            raise result.at(record.place)
        made += result
    return made


def _labelled(record: Record, result: Made, of_nodes: Made, merge: int) -> Result:
    if isinstance(result, DataError):
        return result
    if isinstance(of_nodes, DataError):
        return of_nodes
    try:
        twins = _merged(record, result, merge)
        record.merge("labels", result)
        if of_nodes:
            old = record.data["tree"].get("labels") or {}
            if not isinstance(old, dict):
                raise DataError("expected an object", "tree.labels")
            record.merge("tree", {"labels": old | of_nodes})
    except DataError as error:
        return error
    return [with_version(record), *twins]


def _merged(record: Record, made: schema.Json, most: int) -> list[Record]:
    """Up to ``most`` copies with two neighbouring steps as one."""
    from stepkit.core import step_merging

    if not most:
        return []
    steps = step_merging.steps_to_merge(record.data, most)
    traces = (step_merging.merge_steps(record.data, made, step) for step in steps)
    return derived_traces(record, step_merging.DERIVED, traces)
