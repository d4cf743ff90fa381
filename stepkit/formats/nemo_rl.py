"""NeMo RL: a context and two ranked completions (PreferenceDataset; read at commit 07cd9a1)."""

from __future__ import annotations

from stepkit.errors import DataError
from stepkit.formats.views import Json, View, context, items, messages


def ranked(row: Json) -> View:
    """context, and completions of which the one with the lower rank is the better."""
    completions = items(row, "completions")
    if len(completions) != 2:
        raise DataError(f"{len(completions)} of them: NeMo RL takes exactly two", "completions")
    found = []
    for index, one in enumerate(completions):
        if not isinstance(one, dict) or type(one.get("rank")) is not int:
            raise DataError('expected an object with a whole "rank"', f"completions[{index}]")
        field = f"completions[{index}].completion"
        turns = messages(one.get("completion"), field)
        if len(turns) != 1 or turns[0][0] != "assistant":
            raise DataError("expected one message of the assistant", field)
        found.append((one["rank"], (field, turns[0][1])))
    if found[0][0] == found[1][0]:
        raise DataError("both completions have one rank", "completions")
    sides = tuple(side for _, side in sorted(found))
    return View("pair", context(row["context"], "context"), sides, chat=True)
