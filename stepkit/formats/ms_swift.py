"""ms-swift: chats in ``messages``, with rejected_response, a label, or a weight for each step.

Read in 4.6.0. Its own template joins adjacent messages of the assistant without anything between
them, each with its ``loss_scale``: the only format of a trainer here that has a weight for each
step. The weights count only with ``--is_binary_loss_scale false``; else all above 0 are 1.
"""

from __future__ import annotations

from stepkit import schema
from stepkit.errors import DataError
from stepkit.formats.views import (
    Json,
    View,
    answered,
    conversation,
    flag,
    items,
    joined,
    messages,
    plain,
)


def pair(row: Json) -> View:
    """A chat whose answer is the chosen one, and rejected_response, a text or messages."""
    turns, start = answered(row)
    value = row["rejected_response"]
    rejected = value if isinstance(value, str) else plain(messages(value, "rejected_response"))
    sides = (("messages", plain(turns[start:])), ("rejected_response", rejected))
    return View("pair", joined(turns[:start]), sides, chat=True)


def unpaired(row: Json) -> View:
    """A chat and its label, for KTO."""
    turns, start = answered(row)
    side = ("messages", plain(turns[start:]))
    return View("unpaired", joined(turns[:start]), (side,), (flag(row, "label"),), True)


def weighted(row: Json) -> View:
    """A chat that ends with what is trained on, in one message or step by step."""
    for index, message in enumerate(items(row, "messages")):
        weight = message.get("loss_scale", 0.0) if isinstance(message, dict) else 0.0
        if not schema.is_number(weight) or weight < 0:
            raise DataError(
                "expected a number, 0 or more: a weight below 0 is no more than a mask",
                f"messages[{index}].loss_scale",
            )
    return conversation(row)
