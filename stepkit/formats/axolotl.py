"""axolotl: chats for its type chat_template.default, strings for user_defined, and TRL's stepwise
rows. Read in 0.19.0.

Its chat type looks for a side's text in what the template made of it: where a template strips
white space the text is not found, and all but the last character is lost.
"""

from __future__ import annotations

from stepkit.formats.views import Json, View, context, messages


def chat_pair(row: Json) -> View:
    """messages, and chosen and rejected, each a text, a message or a list that ends with it."""
    sides = []
    for key in ("chosen", "rejected"):
        value = row[key]
        one = value if isinstance(value, list) else [value]
        sides.append((key, value if isinstance(value, str) else messages(one, key)[-1][1]))
    return View("pair", context(row["messages"], "messages"), tuple(sides), chat=True)
