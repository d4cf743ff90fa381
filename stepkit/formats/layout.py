"""How a row's texts are laid out: prompt, sides, and where the white space between them goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.errors import DataError
from stepkit.formats.views import messages

Json = dict[str, Any]

PROBLEM = "{problem}"
DEFAULT_PROMPT = PROBLEM + "\n"


class Layout(NamedTuple):
    """The user's choices that every kind of row shares.

    Attributes:
        prompt: a text in which {problem} stands for the problem.
        scope: "step": the steps alone; "continuation": from where the sides part; "full": all of
            the attempt. In "full" the steps before belong to the sides, else to the prompt.
        chat: messages, which the trainer puts into its own template, in place of texts.
    """

    prompt: str = DEFAULT_PROMPT
    scope: str = "continuation"
    chat: bool = False


def opening(record: Json, layout: Layout) -> str:
    """What stands before the first step."""
    return layout.prompt.replace(PROBLEM, schema.problem_text(record))


def texts(prefix: str, sides: Sequence[str], record: Json, layout: Layout) -> tuple[str, list[str]]:
    """The prompt and the sides as strings, the space between them where it belongs."""
    if layout.scope == "full":
        return boundary(opening(record, layout), [prefix + side for side in sides])
    return boundary(opening(record, layout) + prefix, sides)


def chat(
    prefix: str, sides: Sequence[str], record: Json, layout: Layout
) -> tuple[list[Json], list[str]]:
    """The messages before the answer, and each side as the whole of the answer.

    The messages are those that the record has in ``prompt``, else the laid-out problem as the
    user's. White space around a text is left out: some templates strip it, others do not, and
    axolotl loses an answer whose template did.
    """
    prompt = record.get("prompt")
    if isinstance(prompt, list):
        turns = messages(prompt, "prompt")
        if turns[-1][0] == "assistant":
            raise DataError("ends with the assistant's turn: an answer opens another", "prompt")
        before = [{"role": role, "content": content} for role, content in turns]
    else:
        before = [{"role": "user", "content": opening(record, layout).strip()}]
    return before, [(prefix + side).strip() for side in sides]


def boundary(prompt: str, sides: Sequence[str]) -> tuple[str, list[str]]:
    """Move white space across the cut to where tokenisers keep the prompt's tokens as they are.

    Newlines that all sides begin with go to the prompt, else they merge with its last
    punctuation; spaces at the prompt's end go to the sides, whose first word they belong to.
    """
    shared = common(sides)
    newlines = len(shared) - len(shared.lstrip("\r\n"))
    if newlines:
        return prompt + shared[:newlines], [side[newlines:] for side in sides]
    spaces = prompt[len(prompt.rstrip(" ")) :]
    return prompt[: len(prompt) - len(spaces)], [spaces + side for side in sides]


def common(texts: Sequence[str]) -> str:
    """The longest text that all begin with: that of the two that sort furthest apart."""
    low, high = min(texts), max(texts)
    for at, (a, b) in enumerate(zip(low, high, strict=False)):
        if a != b:
            return low[:at]
    return low


def assistant(text: str) -> Json:
    """A message of the model."""
    return {"role": "assistant", "content": text}
