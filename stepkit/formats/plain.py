"""No trainer: every kind of row with all that is known, for a program of your own.

Nothing is refused here, for nothing is known of the reader; soft labels stay as they are. Lists go
with lists of the same length; what is masked has a mark in a list of its own, for a column has one
type and no null.
"""

from __future__ import annotations

from stepkit import schema
from stepkit.core.training_rows import (
    AdvantageRow,
    PairRow,
    RankedRow,
    StepwiseRow,
    TextRow,
    WeightedRow,
)
from stepkit.errors import DataError
from stepkit.formats import row_layout, row_metadata, trl
from stepkit.formats.row_layout import RowLayout
from stepkit.formats.row_views import TrainerView, context, items
from stepkit.formats.row_views import answer as reply
from stepkit.schema import Json


def preference(row: PairRow, record: Json, layout: RowLayout) -> Json:
    """A pair as TRL reads it, and where its steps are rewarded one by one, the steps and rewards of
    both sides (the rows of Full-Step-DPO, Xu et al., arXiv:2502.14356)."""
    made = trl.preference(row, record, layout)
    for name, side in (("chosen", row.chosen), ("rejected", row.rejected)):
        if side.steps:
            made[f"{name}_steps"] = list(side.steps)
            made[f"{name}_rewards"] = [float(reward or 0) for reward in side.rewards]
            made[f"{name}_masked"] = [reward is None for reward in side.rewards]
    return made


def ranked(row: RankedRow, record: Json, layout: RowLayout) -> Json:
    """prompt, and completions with their scores and counts, the best first."""
    prompt, sides = row_layout.texts(row.prefix, [side.text for side in row.sides], record, layout)
    texts = {
        "prompt": prompt,
        "completions": sides,
        "scores": [float(side.value) for side in row.sides],
        "k": [side.k for side in row.sides],
        "n": [side.n for side in row.sides],
    }
    return texts | row_metadata.attempt_metadata(
        "ranked", row.origin, record, layout, prompt, *sides
    )


def stepwise(row: StepwiseRow, record: Json, layout: RowLayout) -> Json:
    """prompt, steps as they stand in the trace, labels with a point, and which are masked."""
    return _steps("stepwise", row, record, layout) | {
        "labels": [0.0 if label is None else float(label) for label in row.labels],
        "masked": [label is None for label in row.labels],
    }


def weighted(row: WeightedRow, record: Json, layout: RowLayout) -> Json:
    """prompt, steps and their weights."""
    weights = {"weights": [float(weight) for weight in row.weights], "ended": row.ended}
    return _steps("weighted", row, record, layout) | weights


def text(row: TextRow, record: Json, layout: RowLayout) -> Json:
    """prompt and completion, as TRL's supervised trainer reads them, strings or messages."""
    if layout.chat:
        before, (answer,) = row_layout.chat(row.prefix, [row.side.text], record, layout)
        turns = {"prompt": before, "completion": [row_layout.assistant(answer)]}
        ended = {"ended": row.side.ended}
        named = row_metadata.attempt_metadata(
            "text", row.origin, record, layout, str(before), answer
        )
        return turns | ended | named
    prompt, (completion,) = row_layout.texts(row.prefix, [row.side.text], record, layout)
    texts = {"prompt": prompt, "completion": completion, "ended": row.side.ended}
    return texts | row_metadata.attempt_metadata(
        "text", row.origin, record, layout, prompt, completion
    )


def advantage(row: AdvantageRow, record: Json, layout: RowLayout) -> Json:
    """prompt, steps, value and advantage of each, and which are masked."""
    return _steps("advantage", row, record, layout) | {
        "values": [float(value) for value in row.values],
        "advantages": [float(value or 0) for value in row.advantages],
        "masked": [value is None for value in row.advantages],
        "k": list(row.k),
        "n": list(row.n),
    }


def several(row: Json) -> TrainerView:
    """completions or steps, and lists that go with them one to one."""
    name = "completions" if "completions" in row else "steps"
    sides = tuple((f"{name}[{index}]", text) for index, text in enumerate(items(row, name)))
    for field, text in sides:
        if not isinstance(text, str):
            raise DataError(f"expected a string, got {schema.name_of(text)}", field)
    for key in ("scores", "k", "n", "labels", "masked", "weights", "values", "advantages"):
        if key in row and len(items(row, key)) != len(sides):
            raise DataError(f"{len(row[key])} of them for {len(sides)} {name}", key)
    return TrainerView(name, schema.text(row, "prompt"), sides)


def single(row: Json) -> TrainerView:
    """prompt and completion, strings or lists of messages."""
    if isinstance(row["prompt"], list):
        prompt = context(row["prompt"], "prompt")
        return TrainerView("text", prompt, (reply(row, "completion"),), chat=True)
    side = ("completion", schema.text(row, "completion"))
    return TrainerView("text", schema.text(row, "prompt"), (side,))


def _steps(
    kind: str, row: StepwiseRow | WeightedRow | AdvantageRow, record: Json, layout: RowLayout
) -> Json:
    prompt = row_layout.prompt_text(record, layout)
    texts = {"prompt": prompt, "steps": list(row.steps)}
    return texts | row_metadata.attempt_metadata(
        kind, row.origin, record, layout, prompt, *row.steps
    )
