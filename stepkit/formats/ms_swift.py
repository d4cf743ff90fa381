"""ms-swift: chats in ``messages``, with rejected_response, a label, or a weight for each step.

Read in 4.6.0. Its own template joins adjacent messages of the assistant without anything between
them, each with its ``loss_scale``: the only format of a trainer here that has a weight for each
step. The weights count only with ``--is_binary_loss_scale false``; else all above 0 are 1.
"""

from __future__ import annotations

from stepkit import schema
from stepkit.core.training_rows import PairRow, UnpairedRow, WeightedRow
from stepkit.errors import DataError
from stepkit.formats import row_layout, row_metadata
from stepkit.formats.row_layout import RowLayout
from stepkit.formats.row_views import (
    TrainerView,
    answered,
    conversation,
    flag,
    items,
    joined,
    messages,
    plain,
)
from stepkit.schema import Json


def preference(row: PairRow, record: Json, layout: RowLayout) -> Json:
    """messages with the chosen answer, and rejected_response."""
    sides = (row.chosen.text, row.rejected.text)
    before, (chosen, rejected) = row_layout.chat(row.prefix, sides, record, layout)
    texts = {"messages": [*before, row_layout.assistant(chosen)], "rejected_response": rejected}
    return texts | row_metadata.pair_metadata(row, record, layout, str(before), chosen, rejected)


def feedback(row: UnpairedRow, record: Json, layout: RowLayout) -> Json:
    """messages and label, true or false."""
    before, (text,) = row_layout.chat(row.prefix, [row.side.text], record, layout)
    texts = {"messages": [*before, row_layout.assistant(text)], "label": row.desirable}
    return texts | row_metadata.side_metadata(row, record, layout, str(before), text)


def steps(row: WeightedRow, record: Json, layout: RowLayout) -> Json:
    """messages, one of the assistant for each step, with its loss_scale.

    The end-of-text token has the weight 1 whatever the last step's is.
    """
    before, _ = row_layout.chat("", [], record, layout)
    for index, weight in enumerate(row.weights):
        if weight < 0:
            raise DataError(
                f"{weight}: a weight below 0 would be no more than a mask; clip it at 0",
                f"weights[{index}]",
            )
    pieces = zip(row.steps, row.weights, strict=True)
    answer = [row_layout.assistant(step) | {"loss_scale": float(weight)} for step, weight in pieces]
    texts = {"messages": [*(message | {"loss_scale": 0.0} for message in before), *answer]}
    return texts | row_metadata.attempt_metadata(
        "weighted", row.origin, record, layout, str(before), *row.steps
    )


def pair(row: Json) -> TrainerView:
    """A chat whose answer is the chosen one, and rejected_response, a text or messages."""
    turns, start = answered(row)
    value = row["rejected_response"]
    rejected = value if isinstance(value, str) else plain(messages(value, "rejected_response"))
    sides = (("messages", plain(turns[start:])), ("rejected_response", rejected))
    return TrainerView("pair", joined(turns[:start]), sides, chat=True)


def unpaired(row: Json) -> TrainerView:
    """A chat and its label, for KTO."""
    turns, start = answered(row)
    side = ("messages", plain(turns[start:]))
    return TrainerView("unpaired", joined(turns[:start]), (side,), (flag(row, "label"),), True)


def weighted(row: Json) -> TrainerView:
    """A chat whose last answer is trained on, in one message or step by step."""
    weights = []
    for index, message in enumerate(items(row, "messages")):
        weight = message.get("loss_scale", 0.0) if isinstance(message, dict) else 0.0
        if not schema.is_number(weight) or weight < 0:
            raise DataError(
                "expected a number, 0 or more: a weight below 0 is no more than a mask",
                f"messages[{index}].loss_scale",
            )
        weights.append(weight)
    return conversation(row)._replace(labels=tuple(weights))
