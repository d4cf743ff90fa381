"""The rules by name, and a plan of one of them carried out on a trace or a group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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
from stepkit.core.pairs.pair_filters import PairFilters
from stepkit.core.pairs.pair_rules import EvidenceReading, everywhere_by
from stepkit.core.pairs.record_prefixes import RecordPrefixes
from stepkit.core.pairs.rule_input import RowFormat, RuleInput
from stepkit.core.training_rows import PairRow, RowOrigin
from stepkit.errors import DataError
from stepkit.schema import Json

TREE = {"value", "sampler", "scope"}
DUEL = {
    *TREE, "min_gap", "confidence", "min_chosen", "max_rejected", "min_distance", "match_length",
    "max_per_set", "max_per_problem", "weight",
}  # fmt: skip
ATTEMPT = {"min_gap", "confidence", "min_distance", "max_per_problem", "weight"}


class RowRule(NamedTuple):
    """One way to make rows.

    Attributes:
        kind: of its rows (formats.targets.KINDS).
        over: what it looks at: "duels" and "trace": one record; "group": the attempts of one.
        make: its function, by ``over``: pair_rules.Rule, rule_input.Rule or attempt_pairs.Rule.
        uses: the options that it heeds, by their names in Python.
        version: raised when it would choose otherwise.
    """

    kind: str
    over: str
    make: Any
    uses: set[str]
    version: int = 1


RULES = {
    "best-worst": RowRule("pair", "duels", everywhere_by(pair_rules.best_worst), DUEL),
    "best-rest": RowRule("pair", "duels", everywhere_by(pair_rules.best_rest), DUEL),
    "all": RowRule("pair", "duels", everywhere_by(pair_rules.every), DUEL),
    "adjacent": RowRule("pair", "duels", everywhere_by(pair_rules.adjacent), DUEL),
    "top-bottom": RowRule("pair", "duels", everywhere_by(pair_rules.top_bottom), DUEL | {"top"}),
    "path-rest": RowRule("pair", "duels", everywhere_by(pair_rules.path_rest), DUEL),
    "tree-plv": RowRule("pair", "duels", everywhere_by(pair_rules.every, grown=True), DUEL),
    "mcts-dpo": RowRule("pair", "duels", pair_rules.descent, DUEL),
    "advantage": RowRule("pair", "duels", pair_rules.advantage, DUEL),
    "first-error": RowRule("pair", "duels", pair_rules.first_error, DUEL | {"at"}),
    "first-pit": RowRule("pair", "duels", pair_rules.first_pit, DUEL),
    "negatives": RowRule("pair", "duels", pair_rules.negatives, DUEL),
    "outcome": RowRule("pair", "group", attempt_pairs.outcome, ATTEMPT | {"match_length"}),
    "shorter-correct": RowRule(
        "pair", "group", attempt_pairs.shorter_correct, ATTEMPT - {"confidence"}
    ),
    "ranked": RowRule("ranked", "trace", ranked_unpaired.ranked, TREE | {"min_gap"}),
    "step-kto": RowRule(
        "unpaired",
        "trace",
        ranked_unpaired.step_kto,
        TREE | {"confidence", "min_chosen", "max_rejected"},
    ),
    "kto": RowRule("unpaired", "trace", trace_rows.kto, set()),
    "prm": RowRule("stepwise", "trace", trace_rows.prm, {"at", "after_error"}),
    "weighted": RowRule("weighted", "trace", trace_rows.weighted, {"at"}),
    "intervention": RowRule("weighted", "trace", corrections.intervention, TREE | {"at"}),
    "self-correction": RowRule(
        "weighted", "trace", corrections.self_correction, TREE | {"at", "correction"}
    ),
    "masked-correction": RowRule(
        "weighted", "trace", corrections.masked_correction, TREE | {"at", "correction"}
    ),
    "filter": RowRule("text", "trace", trace_rows.filtered, {"at", "min_chosen"}),
    "fill-in": RowRule("text", "trace", trace_rows.fill_in, set()),
    "advantages": RowRule("advantage", "trace", trace_rows.advantages, {"at"}),
}
"""The rules by name; the first of a kind is its default."""


def default_rule(kind: str) -> str:
    """The rule that makes rows of ``kind`` when the user names none."""
    return next(name for name, rule in RULES.items() if rule.kind == kind)


@dataclass
class RowPlan:
    """A rule with all that it is told, and what it left out.

    Attributes:
        name: of the rule.
        dropped: how many were left out, by reason.
    """

    name: str
    reading: EvidenceReading = field(default_factory=EvidenceReading)
    choice: PairFilters = field(default_factory=PairFilters)
    telling: RowFormat = field(default_factory=RowFormat)
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def rule(self) -> RowRule:
        return RULES[self.name]

    @property
    def of_groups(self) -> bool:
        """Does it look at all attempts at a problem together?"""
        choice = self.choice
        return (
            self.rule.over == "group"
            or choice.per_problem is not None
            or choice.weight == "problem"
        )

    def of_trace(self, record: Json) -> Sequence[Any]:
        """The rows of one record. Raises DataError naming what it lacks."""
        rule = self.rule
        origin = RowOrigin(self.name, rule.version, 0, (schema.id_of(record),), ())
        if rule.over == "duels":
            evidence = RecordPrefixes(record, self.reading.sampler)
            duels = rule.make(evidence, self.reading, self.dropped)
            return pair_filters.pairs(duels, self.choice, origin, self.dropped)
        case = RuleInput(record, self.reading, self.choice, self.telling, origin, self.dropped)
        return list(rule.make(case))

    def of_group(
        self, records: Sequence[Json], places: Sequence[str] = ()
    ) -> list[tuple[Json, PairRow]]:
        """The pairs of all attempts at one problem, each with the record that it is laid out by.

        Raises DataError naming what a record lacks, with its entry of ``places``.
        """
        rule = self.rule
        found: list[Any] = []
        for index, record in enumerate(records):
            try:
                if rule.over == "group":
                    found.append(attempt_pairs.read(record, self.dropped))
                else:
                    found += [(record, pair) for pair in self.of_trace(record)]
            except DataError as error:
                raise error.at(places[index] if places else "") from None
        if rule.over != "group":
            return self._capped(found)
        origin = RowOrigin(self.name, rule.version, 0, (), ())
        pairs = attempt_pairs.pairs(found, rule.make, self.choice, origin, self.dropped)
        return [(records[0], pair) for pair in pairs]

    def _capped(self, found: list[tuple[Json, PairRow]]) -> list[tuple[Json, PairRow]]:
        """The pairs of a problem that its cap leaves, with their weights.

        Attempts at one problem share the draws from the prefixes that they share, and so make the
        same pairs; of such the one with the most evidence for it stays.
        """
        unique: dict[tuple[str, str, str], tuple[Json, PairRow]] = {}
        for record, pair in found:
            key = (pair.prefix, pair.chosen.text, pair.rejected.text)
            known = unique.setdefault(key, (record, pair))
            if (pair.probability, pair.gap) > (known[1].probability, known[1].gap):
                unique[key] = (record, pair)
        self.dropped["already made"] += len(found) - len(unique)
        records = [record for record, _ in unique.values()]
        pairs = [pair for _, pair in unique.values()]
        kept = pair_filters.widest(
            pairs, self.choice.per_problem, "over --max-per-problem", self.dropped
        )
        weight = pair_filters.share(len(kept), self.choice, "problem")
        return [(records[i], pairs[i]._replace(weight=weight or pairs[i].weight)) for i in kept]


def dealt(rows: Iterable[tuple[str, Any]]) -> list[Any]:
    """Rows in an order in which neighbours have different keys, as far as that can be: one of each
    key in turn. Trainers of unpaired rows compare a row with its neighbour."""
    piles: dict[str, list[Any]] = {}
    for key, row in rows:
        piles.setdefault(key, []).append(row)
    turns = max(map(len, piles.values()), default=0)
    return [pile[turn] for turn in range(turns) for pile in piles.values() if turn < len(pile)]
