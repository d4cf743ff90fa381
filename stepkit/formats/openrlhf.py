"""OpenRLHF: prompt, chosen and rejected for its DPO and reward training, input and output for
supervised training. Read in 0.11.2.

Run it with ``--data.prompt_key prompt`` (without it the prompt is left out), and for chats with
``--data.apply_chat_template``. It strips newlines at the end of a text and puts a space and the
end-of-text token after it. A column ``margin`` becomes part of the loss.
"""

from __future__ import annotations

from stepkit import schema
from stepkit.core.training_rows import TextRow
from stepkit.formats import row_layout, row_metadata
from stepkit.formats.row_layout import RowLayout
from stepkit.formats.row_views import TrainerView, answer, context
from stepkit.schema import Json


def supervised(row: TextRow, record: Json, layout: RowLayout) -> Json:
    """input and output: strings, or lists of messages in a chat."""
    if layout.chat:
        before, (text,) = row_layout.chat(row.prefix, [row.side.text], record, layout)
        turns = {"input": before, "output": [row_layout.assistant(text)]}
        return turns | row_metadata.attempt_metadata(
            "text", row.origin, record, layout, str(before), text
        )
    prompt, (text,) = row_layout.texts(row.prefix, [row.side.text], record, layout)
    texts = {"input": prompt, "output": text}
    return texts | row_metadata.attempt_metadata("text", row.origin, record, layout, prompt, text)


def prompt_response(row: Json) -> TrainerView:
    """input and output, strings or lists of messages."""
    if isinstance(row["input"], list):
        return TrainerView(
            "text", context(row["input"], "input"), (answer(row, "output"),), chat=True
        )
    side = ("output", schema.text(row, "output"))
    return TrainerView("text", schema.text(row, "input"), (side,))
