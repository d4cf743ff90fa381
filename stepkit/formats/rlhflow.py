"""RLHFlow's process reward rows (RLHF-Reward-Modeling/math-rm): a chat in which every user turn is
a step, the first with the problem before it, and every answer of the assistant + or -."""

from __future__ import annotations

from stepkit.errors import DataError
from stepkit.formats.views import Json, View, messages


def plus_minus(row: Json) -> View:
    """conversations of steps and verdicts."""
    turns = messages(row["conversations"], "conversations")
    sides, labels = [], []
    for index, (role, content) in enumerate(turns):
        field = f"conversations[{index}]"
        if role != ("user", "assistant")[index % 2]:
            raise DataError(f'"{role}" out of turn: user and assistant alternate', field)
        if index % 2 == 0:
            sides.append((field, content))
        elif content in ("+", "-"):
            labels.append(content == "+")
        else:
            raise DataError("expected + or -", field)
    return View("stepwise", "", tuple(sides), tuple(labels), True)
