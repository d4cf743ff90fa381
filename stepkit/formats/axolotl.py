"""axolotl: chats for its type chat_template.default, strings for user_defined, and TRL's stepwise
rows. Read in 0.19.0.

Its chat type looks for a side's text in what the template made of it: where a template strips
white space the text is not found, and all but the last character is lost.
"""

from __future__ import annotations

from stepkit.core.training_rows import PairRow, TextRow
from stepkit.formats import row_layout, row_metadata, trl
from stepkit.formats.row_layout import RowLayout
from stepkit.formats.row_views import TrainerView, context, messages
from stepkit.schema import Json


def preference(row: PairRow, record: Json, layout: RowLayout) -> Json:
    """Strings as TRL's; of a chat messages, and chosen and rejected as one message each."""
    if not layout.chat:
        return trl.preference(row, record, layout)
    sides = (row.chosen.text, row.rejected.text)
    before, (chosen, rejected) = row_layout.chat(row.prefix, sides, record, layout)
    texts = {
        "messages": before,
        "chosen": row_layout.assistant(chosen),
        "rejected": row_layout.assistant(rejected),
    }
    return texts | row_metadata.pair_metadata(row, record, layout, str(before), chosen, rejected)


def supervised(row: TextRow, record: Json, layout: RowLayout) -> Json:
    """messages, for its type chat_template."""
    before, (text,) = row_layout.chat(row.prefix, [row.side.text], record, layout)
    texts = {"messages": [*before, row_layout.assistant(text)]}
    return texts | row_metadata.attempt_metadata(
        "text", row.origin, record, layout, str(before), text
    )


def chat_pair(row: Json) -> TrainerView:
    """messages, and chosen and rejected, each a text, a message or a list that ends with it."""
    sides = []
    for key in ("chosen", "rejected"):
        value = row[key]
        turns = value if isinstance(value, list) else [value]
        sides.append((key, value if isinstance(value, str) else messages(turns, key)[-1][1]))
    return TrainerView("pair", context(row["messages"], "messages"), tuple(sides), chat=True)
