"""A row as its trainer reads it: the texts, their labels, and how they are joined.

One reader a shape of row. A reader raises DataError at the first thing that its trainer stops at,
drops or misreads; the texts themselves are checked in row_checker.py. Names of
columns are the trainers' defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.errors import DataError
from stepkit.schema import Json


class TrainerView(NamedTuple):
    """A row as its trainer reads it.

    Attributes:
        kind: "pair", "unpaired", "stepwise", "text"; in plain rows also "completions" and "steps".
        prompt: the text before the sides; of a chat, its messages as one text.
        sides: name and text of each part that is trained on: chosen and rejected, a completion,
            the steps.
        labels: of the sides, for the kinds that have them; of a chat, the weights of its messages.
        chat: the trainer's own template joins the messages.
    """

    kind: str
    prompt: str
    sides: tuple[tuple[str, str], ...]
    labels: tuple[Any, ...] = ()
    chat: bool = False


Reader = Callable[[Json], TrainerView]


class RowShape(NamedTuple):
    """A shape of row: the columns that it is known by, and its reader."""

    columns: tuple[str, ...]
    read: Reader


def preference(row: Json) -> TrainerView:
    """TRL, OpenRLHF, verl: prompt, chosen and rejected, all strings or all lists of messages."""
    kinds = {isinstance(row[key], list) for key in ("prompt", "chosen", "rejected")}
    if len(kinds) > 1:
        # TRL looks at one of the three, whichever comes first in a set of strings.
        raise DataError("strings and lists of messages in one row: make all three one or the other")
    if not kinds.pop():
        sides = tuple((key, schema.text(row, key)) for key in ("chosen", "rejected"))
        return TrainerView("pair", schema.text(row, "prompt"), sides)
    prompt = context(row["prompt"], "prompt")
    return TrainerView("pair", prompt, (answer(row, "chosen"), answer(row, "rejected")), chat=True)


def unpaired(row: Json, label: str = "label") -> TrainerView:
    """TRL's and axolotl's KTO: prompt, completion and a label that is true or false."""
    labels = (flag(row, label),)
    if isinstance(row["prompt"], list) != isinstance(row["completion"], list):
        raise DataError("a string and a list of messages in one row: make both one or the other")
    if isinstance(row["prompt"], list):
        side = answer(row, "completion")
        return TrainerView("unpaired", context(row["prompt"], "prompt"), (side,), labels, True)
    side = ("completion", schema.text(row, "completion"))
    return TrainerView("unpaired", schema.text(row, "prompt"), (side,), labels)


def stepwise(row: Json) -> TrainerView:
    """TRL's and axolotl's process reward rows: prompt, completions and labels, one a step."""
    steps, labels = items(row, "completions"), items(row, "labels")
    for index, step in enumerate(steps):
        if not isinstance(step, str):
            raise DataError("expected a string", f"completions[{index}]")
    for index, label in enumerate(labels):
        if not isinstance(label, int) or (
            not isinstance(label, bool) and label not in (0, 1, -100)
        ):
            what = "no class" if isinstance(label, int) else "cut to a whole number by the trainer"
            raise DataError(
                f"{label} is {what}: write true or false, or 1, 0 and -100 (not trained on)",
                f"labels[{index}]",
            )
    sides = tuple((f"completions[{index}]", step) for index, step in enumerate(steps))
    return TrainerView("stepwise", schema.text(row, "prompt"), sides, tuple(labels))


def conversation(row: Json) -> TrainerView:
    """A chat whose last answer is trained on."""
    turns, start = answered(row)
    return TrainerView(
        "text", joined(turns[:start]), (("messages", plain(turns[start:])),), chat=True
    )


def context(value: Any, field: str) -> str:
    """The messages before an answer as one text. Raises DataError when the model spoke last."""
    turns = messages(value, field)
    if turns[-1][0] == "assistant":
        raise DataError(
            "ends with the assistant's turn: the trainer opens a second one; "
            "move that text into the sides",
            field,
        )
    return joined(turns)


def messages(
    value: Any, field: str, role: str = "role", content: str = "content"
) -> list[tuple[str, str]]:
    """Role and text of each message, checked. Raises DataError naming the message."""
    if not isinstance(value, list) or not value:
        raise DataError("expected a list of messages", field)
    found = []
    for index, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get(role), str):
            raise DataError(f'expected a message with "{role}"', f"{field}[{index}]")
        if not isinstance(message.get(content), str):
            raise DataError("expected a string", f"{field}[{index}].{content}")
        found.append((message[role], message[content]))
    return found


def answer(row: Json, key: str) -> tuple[str, str]:
    """A side of a chat: the text of one message of the assistant."""
    turns = messages(row[key], key)
    if turns[0][0] != "assistant":
        raise DataError(f'begins with "{turns[0][0]}": the prompt is in its own column', key)
    return key, plain(turns)


def flag(row: Json, key: str) -> bool:
    """The label at ``key``; trainers take nothing but true and false for one."""
    value = row.get(key)
    if not isinstance(value, bool):
        raise DataError(f"expected true or false, got {schema.name_of(value)}", key)
    return value


def items(row: Json, key: str) -> list[Any]:
    """The list at ``key``, never empty."""
    value = row[key]
    if not isinstance(value, list) or not value:
        raise DataError("expected a list with something in it", key)
    return value


def answered(row: Json) -> tuple[list[tuple[str, str]], int]:
    """The ``messages`` of a row, and the index at which the last answer of the assistant begins."""
    turns = messages(row["messages"], "messages")
    start = len(turns)
    while start and turns[start - 1][0] == "assistant":
        start -= 1
    if start == len(turns) or not start:
        raise DataError("must end with an answer of the assistant to something", "messages")
    return turns, start


def plain(turns: Sequence[tuple[str, str]]) -> str:
    """The texts of messages of one role, which a trainer writes one after another."""
    return "".join(content for _, content in turns)


def joined(turns: Sequence[tuple[str, str]]) -> str:
    """A chat as one text, to compare and to measure."""
    return "\n".join(f"{role}: {content}" for role, content in turns)
