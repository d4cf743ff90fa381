"""TRL: its preference, unpaired and stepwise formats. Read in 1.16.0; PRMTrainer, gone since 1.14,
in 1.13.0."""

from __future__ import annotations

from stepkit import schema
from stepkit.errors import DataError
from stepkit.formats.views import Json, View, context, messages


def implicit(row: Json) -> View:
    """Preferences without a prompt: chosen and rejected begin alike, and that is the prompt."""
    if isinstance(row["chosen"], list):
        chosen, rejected = (messages(row[key], key) for key in ("chosen", "rejected"))
        if chosen[:-1] != rejected[:-1]:
            raise DataError("no prompt, and chosen and rejected differ before the last message")
        prompt = context(row["chosen"][:-1], "chosen")
        sides = (("chosen", chosen[-1][1]), ("rejected", rejected[-1][1]))
        return View("pair", prompt, sides, chat=True)
    sides = (("chosen", schema.text(row, "chosen")), ("rejected", schema.text(row, "rejected")))
    return View("pair", "", sides)
