"""The rules by name, and a plan of one of them carried out on a trace or a group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.core.pairs import (
    attempt_pairs,
    corrections,
    pair_filters,
    pair_rules,
    ranked_unpaired,
    trace_rows,
)
from stepkit.core.pairs.evidence_reading import EvidenceReading
from stepkit.core.pairs.pair_filters import PairFilters
from stepkit.core.pairs.pair_rules import in_each_set
from stepkit.core.pairs.record_prefixes import RecordPrefixes
from stepkit.core.pairs.rule_input import RowFormat, RuleInput
from stepkit.core.pairs.tree_attempts import attempts_of
from stepkit.core.training_rows import PairRow, RowOrigin
from stepkit.errors import DataError
from stepkit.schema import Json

TREE_OPTIONS = {"value", "sampler", "scope"}
ORDER_OPTIONS = {*TREE_OPTIONS, "rank"}
PAIR_OPTIONS = {
    *ORDER_OPTIONS, "min_gap", "confidence", "min_chosen", "max_rejected", "min_distance",
    "match_length", "max_per_set", "max_per_problem", "weight",
}  # fmt: skip
ATTEMPT_OPTIONS = {
    "min_gap", "confidence", "min_distance", "max_per_problem", "weight", "verdict",
}  # fmt: skip


class RowRule(NamedTuple):
    """One way to make rows.

    Attributes:
        kind: of its rows (formats.trainer_registry.KINDS).
        over: what it looks at: "siblings" and "trace": one record; "attempt": one attempt, the
            trace or each in its tree; "group": all attempts at one problem.
        make: its function, by ``over``: pair_rules.Rule, rule_input.Rule or attempt_pairs.Rule.
        uses: the options that it heeds, by their names in Python.
        version: raised when it would choose otherwise.
        column: the label that it goes by where --at names none.
    """

    kind: str
    over: str
    make: Any
    uses: set[str]
    version: int = 1
    column: str | None = None


RULES = {
    "best-worst": RowRule("pair", "siblings", in_each_set(pair_rules.best_worst), PAIR_OPTIONS, 2),
    "best-rest": RowRule("pair", "siblings", in_each_set(pair_rules.best_rest), PAIR_OPTIONS, 2),
    "all": RowRule("pair", "siblings", in_each_set(pair_rules.all_pairs), PAIR_OPTIONS, 2),
    "adjacent": RowRule("pair", "siblings", in_each_set(pair_rules.adjacent), PAIR_OPTIONS, 2),
    "top-bottom": RowRule(
        "pair", "siblings", in_each_set(pair_rules.top_bottom), PAIR_OPTIONS | {"top"}, 2
    ),
    "path-rest": RowRule("pair", "siblings", in_each_set(pair_rules.path_rest), PAIR_OPTIONS, 2),
    "tree-plv": RowRule(
        "pair", "siblings", in_each_set(pair_rules.all_pairs, grown=True), PAIR_OPTIONS, 2
    ),
    "mcts-dpo": RowRule("pair", "siblings", pair_rules.descent, PAIR_OPTIONS, 2),
    "advantage": RowRule("pair", "siblings", pair_rules.advantage, PAIR_OPTIONS, 2),
    "first-error": RowRule("pair", "siblings", pair_rules.first_error, PAIR_OPTIONS | {"at"}, 2),
    "first-pit": RowRule("pair", "siblings", pair_rules.first_pit, PAIR_OPTIONS, 2),
    "negatives": RowRule("pair", "siblings", pair_rules.negatives, PAIR_OPTIONS, 2),
    "outcome": RowRule(
        "pair", "group", attempt_pairs.outcome, ATTEMPT_OPTIONS | {"match_length", "at"}
    ),
    "shorter-correct": RowRule(
        "pair", "group", attempt_pairs.shorter_correct, ATTEMPT_OPTIONS - {"confidence"}
    ),
    "ranked": RowRule("ranked", "trace", ranked_unpaired.ranked, ORDER_OPTIONS | {"min_gap"}, 2),
    "step-kto": RowRule(
        "unpaired",
        "trace",
        ranked_unpaired.step_kto,
        TREE_OPTIONS | {"at", "confidence", "min_chosen", "max_rejected"},
    ),
    "kto": RowRule("unpaired", "attempt", trace_rows.kto, {"verdict"}),
    "prm": RowRule(
        "stepwise", "attempt", trace_rows.prm, {"at", "after_error", "repeat_shared"}, column="hard"
    ),
    "weighted": RowRule(
        "weighted",
        "attempt",
        trace_rows.weighted,
        {"at", "min_chosen", "repeat_shared"},
        column="progress",
    ),
    "intervention": RowRule(
        "weighted", "trace", corrections.intervention, ORDER_OPTIONS | {"at"}, 2
    ),
    "self-correction": RowRule(
        "weighted", "trace", corrections.self_correction, ORDER_OPTIONS | {"at", "correction"}, 2
    ),
    "masked-correction": RowRule(
        "weighted", "trace", corrections.masked_correction, ORDER_OPTIONS | {"at", "correction"}, 2
    ),
    "filter": RowRule("text", "attempt", trace_rows.filtered, {"at", "min_chosen", "verdict"}),
    "fill-in": RowRule("text", "attempt", trace_rows.fill_in, {"verdict"}),
    "advantages": RowRule(
        "advantage",
        "attempt",
        trace_rows.advantages,
        {"at", "repeat_shared"},
        version=2,
        column="progress",
    ),
}
"""The rules by name; the first of a kind is its default."""


def default_rule(kind: str) -> str:
    """The rule that makes rows of ``kind`` when the user names none."""
    return next(name for name, rule in RULES.items() if rule.kind == kind)


@dataclass
class RowPlan:
    """A rule with all its settings, and what it left out.

    Attributes:
        name: of the rule.
        dropped: how many were left out, by reason.
    """

    name: str
    reading: EvidenceReading = field(default_factory=EvidenceReading)
    filters: PairFilters = field(default_factory=PairFilters)
    row_format: RowFormat = field(default_factory=RowFormat)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def rule(self) -> RowRule:
        return RULES[self.name]

    @property
    def of_groups(self) -> bool:
        """Does it look at all attempts at a problem together?"""
        filters = self.filters
        return (
            self.rule.over == "group"
            or filters.per_problem is not None
            or filters.weight == "problem"
        )

    def of_trace(self, record: Json) -> Sequence[Any]:
        """The rows of one record. Raises DataError naming what it lacks."""
        rule = self.rule
        if rule.over == "siblings":
            kept = pair_filters.keep(self._candidates(record), self.filters, self.dropped)
            return [row for _, row in kept]
        return [row for given in self._inputs(record) for row in rule.make(given)]

    def _inputs(self, record: Json) -> Iterator[RuleInput]:
        rule, reading = self.rule, self.reading
        origin = RowOrigin(self.name, rule.version, 0, (schema.id_of(record),), ())
        given = RuleInput(record, reading, self.filters, self.row_format, origin, self.dropped)
        if rule.over != "attempt":
            yield given
            return
        for attempt in attempts_of(
            record, reading.at, rule.column, reading.repeat_shared, self.dropped
        ):
            draws = () if attempt.leaf is None else (str(attempt.leaf),)
            yield replace(
                given,
                record=attempt.record,
                shared=attempt.shared,
                origin=origin._replace(draws=draws),
            )

    def of_group(
        self, records: Sequence[Json], places: Sequence[str] = ()
    ) -> list[tuple[Json, PairRow]]:
        """The pairs of all attempts at one problem, each with the record that it is laid out by.

        Raises DataError naming what a record lacks, with its entry of ``places``.
        """
        rule = self.rule
        attempts: list[attempt_pairs.Attempt | None] = []
        candidates: list[tuple[Json, PairRow]] = []
        for index, record in enumerate(records):
            try:
                if rule.over == "group":
                    attempts.append(attempt_pairs.read_attempt(record, self.reading, self.dropped))
                else:
                    candidates += [(record, row) for row in self._candidates(record)]
            except DataError as error:
                raise error.at(places[index] if places else "") from None
        if rule.over == "group":
            origin = RowOrigin(self.name, rule.version, 0, (), ())
            pairs = attempt_pairs.pair_rows(attempts, rule.make, self.filters, origin, self.dropped)
            return [(records[0], pair) for pair in pairs]
        rows = [row for _, row in candidates]
        kept = pair_filters.keep(rows, self.filters, self.dropped)
        return [(candidates[index][0], row) for index, row in kept]

    def _candidates(self, record: Json) -> list[PairRow]:
        """The pairs of sibling steps of one record that pass, before caps and weights."""
        origin = RowOrigin(self.name, self.rule.version, 0, (schema.id_of(record),), ())
        prefixes = RecordPrefixes(record, self.reading.sampler)
        pairs = self.rule.make(prefixes, self.reading, self.dropped)
        return pair_filters.candidates(pairs, self.filters, origin, self.dropped)


def interleaved(rows: Iterable[tuple[str, Any]]) -> list[Any]:
    """Rows in an order in which neighbours have different keys, as far as that can be: one of each
    key in turn. Trainers of unpaired rows compare a row with its neighbour."""
    piles: dict[str, list[Any]] = {}
    for key, row in rows:
        piles.setdefault(key, []).append(row)
    turns = max(map(len, piles.values()), default=0)
    return [pile[turn] for turn in range(turns) for pile in piles.values() if turn < len(pile)]
