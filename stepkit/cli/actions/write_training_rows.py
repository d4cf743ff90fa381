"""The rows of a run of step-pairs: laid out for their trainer, each once, with a report.

A row's id is a hash of its texts; 8 bytes of it are remembered for every row written (some 70
bytes of memory a row), so that no pair is written twice, wherever its traces stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepkit.core.pairs.pair_registry import INFILLING, RowPlan, interleaved
from stepkit.core.training_rows import PairRow
from stepkit.formats import row_layout as layouts
from stepkit.formats import trainer_registry
from stepkit.formats.row_layout import BoundaryError, RowLayout
from stepkit.runner.run import RunCounts, StreamOptions, blocks, each, groups
from stepkit.schema import Json

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record


FROM_SAMPLER = {"pair", "ranked", "unpaired", "weighted", "text"}
"""Kinds that train a model on draws of its own, or of a similar model, from the same prompt."""


class RowMaker:
    """Makes rows by a plan and remembers what it made.

    Args:
        prompt: the user's, or None for the one that each record's draws were made with.
    """

    def __init__(self, plan: RowPlan, target: str, layout: RowLayout, prompt: str | None) -> None:
        self.plan = plan
        self._target = target
        self._layout = layout
        self._as_drawn = plan.rule.kind in FROM_SAMPLER and (layout.chat or prompt is None)
        self._unknown_prompt = False
        self._ids: set[int] = set()
        self._pairs = self._longer = self._difference = 0
        self._asked, self._neighbours = "", 0

    def of_group(self, records: list[Record]) -> list[Record]:
        """The rows of the attempts at one problem. Raises DataError with its place."""
        places = [record.place for record in records]
        made = self.plan.of_group([record.data for record in records], places)
        return self._new([(row, self._row(row, data)) for data, row in made], places[0])

    def of_trace(self, record: Record) -> list[Record]:
        """The rows of one trace. Raises DataError."""
        made = [(row, self._row(row, record.data)) for row in self.plan.of_trace(record.data)]
        rows = self._new(made, record.place)
        return self._by_turns(rows) if self.plan.rule.kind == "unpaired" else rows

    def _new(self, made: list[tuple[Any, Json | None]], place: str) -> list[Record]:
        """The rows that were not written before. All are good by now: nothing is remembered of a
        record that is rejected."""
        from stepkit.io.jsonl import Record

        rows = [(row, Record.new(data, place)) for row, data in made if data]
        return [written for row, written in rows if self._is_new(row, written.data)]

    def _is_new(self, row: Any, made: Json) -> bool:
        known = int(made["id"], 16)
        if known in self._ids:
            self.plan.dropped["already made"] += 1
            return False
        self._ids.add(known)
        if isinstance(row, PairRow):
            difference = len(row.chosen.text) - len(row.rejected.text)
            self._pairs += 1
            self._longer += difference > 0
            self._difference += difference
        return True

    def _by_turns(self, rows: list[Record]) -> list[Record]:
        """The rows of a record with its prompts in turn, and a count of equal neighbours.

        A trainer of unpaired rows takes each row's neighbour for an answer to another prompt. Rows
        move within their record alone: a block ends where a pipe happened to end it.
        """
        rows = interleaved((_asked(row.data), row) for row in rows)
        for row in rows:
            asked = _asked(row.data)
            self._neighbours += asked == self._asked
            self._asked = asked
        return rows

    def _row(self, row: Any, data: Json) -> Json | None:
        """The row as its trainer reads it; None when it was dropped."""
        layout, dropped = self._layout_of(data), self.plan.dropped
        if trainer_registry.TARGETS[self._target].ends and not trainer_registry.ended(row):
            dropped["the attempt was cut off"] += 1
            return None
        try:
            return trainer_registry.write_row(self._target, row, data, layout)
        except BoundaryError:
            dropped["no token boundary after the prompt"] += 1
            return None

    def _layout_of(self, data: Json) -> RowLayout:
        """The layout with what the model saw when it drew: the text of the prompt or, in a chat,
        the messages."""
        layout = self._layout
        if not self._as_drawn:
            return layout
        by_tree = "sampler" in self.plan.rule.uses
        made = (
            layouts.tree_sampler(data, self.plan.reading.sampler) if by_tree else None
        ) or layouts.attempt_sampler(data)
        if made is None:
            return layout
        template = layouts.has_chat_template(made)
        if layout.chat:
            return layout._replace(chat_sampler=made) if template else layout
        if template and self.plan.name == INFILLING:
            return layout  # a chat has no place for its marks
        prompt = layouts.sampler_prompt(made)
        self._unknown_prompt |= prompt is None and isinstance(made.get("prompt"), str)
        return layout if prompt is None else layout._replace(prompt=prompt)

    def notes(self) -> list[str]:
        """Of the rows that were made, what people should know."""
        if not self._pairs:
            return []
        mean, share = self._difference / self._pairs, self._longer / self._pairs
        return [f"chosen is longer in {share:.0%} of pairs, on average by {mean:+.1f} characters"]

    def warnings(self) -> list[str]:
        """What would harm the training."""
        found = []
        if self._neighbours:
            found.append(
                f"{self._neighbours} rows follow one with the same prompt, which spoils the "
                "trainer's KL term: shuffle the rows (shuf)"
            )
        if self._unknown_prompt:
            found.append(
                "the draws were made with the model's chat template, which the prompts here do not "
                "have: use --conversational, or --prompt with what the template makes"
            )
        return found


def write_rows(streams: StreamOptions, maker: RowMaker) -> None:
    """Read, write and report."""
    if maker.plan.of_groups:
        groups(streams, maker.of_group)
    else:
        blocks(streams, each(maker.of_trace))
    tally = streams.tally
    # What was left out is news when nothing is left.
    say = streams.note if tally.written else streams.warn
    say(f"{tally.written} rows ({maker.plan.rule.kind}) of {_used(tally, maker.plan)}")
    for note in maker.notes():
        say(note)
    for warning in maker.warnings():
        streams.warn(warning)


def _used(tally: RunCounts, plan: RowPlan) -> str:
    """How many traces were used, and why others gave no rows."""
    left_out = plan.dropped.most_common()
    reasons = ", ".join(f"{count} {why}" for why, count in left_out if count)
    rest = f"; not: {reasons}" if reasons else ""
    return f"{tally.read - tally.rejected} traces{rest}"


def _asked(row: Json) -> str:
    """What the row's answer is an answer to."""
    if "prompt" in row:
        return str(row["prompt"])
    return str((row.get("messages") or row.get("conversations") or [])[:-1])
