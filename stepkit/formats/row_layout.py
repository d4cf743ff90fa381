"""How a row's texts are laid out: prompt, sides, and where the white space between them goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from stepkit import schema
from stepkit.core import trace
from stepkit.errors import DataError
from stepkit.formats.row_views import messages
from stepkit.schema import Json

PROBLEM = "{problem}"
DEFAULT_PROMPT = PROBLEM + "\n"


class RowLayout(NamedTuple):
    """The choices of the user that hold for every kind of row.

    Attributes:
        prompt: a text in which {problem} stands for the problem.
        scope: "step": the steps alone; "continuation": from where the sides part; "full": all of
            the attempt. In "full" the steps before belong to the sides, else to the prompt.
        chat: messages, which the trainer puts into its own template, in place of texts.
        tokens: the token ids of a text in the vocabulary that will be trained; None: not known.
    """

    prompt: str = DEFAULT_PROMPT
    scope: str = "continuation"
    chat: bool = False
    tokens: Callable[[str], Sequence[int]] | None = None


class BoundaryError(DataError):
    """A side cannot be parted from its prompt between two tokens."""


def sampler_prompt(record: Json, sampler: str | None) -> str | None:
    """The prompt by which the record's draws were made, or the attempt itself; None if unknown.

    A plain one is a format with {problem}; of a chat template it is "chat:" and a hash.
    """
    tree, made = record.get("tree"), None
    if isinstance(tree, dict) and tree.get("samplers"):
        samplers = tree["samplers"]
        index = 0 if len(samplers) == 1 else trace.choose_sampler(tree, sampler)[0]
        made = samplers[index] if index >= 0 else None
    elif isinstance(record.get("sample"), dict):
        made = record["sample"].get("sampler")
    prompt = made.get("prompt") if isinstance(made, dict) else None
    return prompt if isinstance(prompt, str) else None


def prompt_text(record: Json, layout: RowLayout) -> str:
    """The prompt as text: what comes before the first step."""
    return layout.prompt.replace(PROBLEM, schema.problem_text(record))


def texts(
    prefix: str, sides: Sequence[str], record: Json, layout: RowLayout
) -> tuple[str, list[str]]:
    """The prompt and the sides as strings, the space between them where it belongs.

    Raises BoundaryError when the vocabulary has no place for a cut there.
    """
    if layout.scope == "full":
        parted = boundary(prompt_text(record, layout), [prefix + side for side in sides])
    else:
        parted = boundary(prompt_text(record, layout) + prefix, sides)
    return parted if layout.tokens is None else cut_between_tokens(*parted, layout.tokens)


def cut_between_tokens(
    prompt: str, sides: Sequence[str], tokens: Callable[[str], Sequence[int]]
) -> tuple[str, list[str]]:
    """Move white space across the cut until the prompt's tokens are the first ones of every whole.

    Where the prompt ends within a token, a trainer's model would see other tokens there than the
    one that sampled. Tried are the cut as it is, then without white space at the prompt's end, then
    with all that the sides share at their start. Raises BoundaryError when none will do.
    """
    kept = prompt.rstrip()
    shared = common(sides)
    space = shared[: len(shared) - len(shared.lstrip())]
    cuts = (len(prompt), len(kept), len(prompt) + len(space))
    for cut in dict.fromkeys(cuts):
        whole = [prompt + side for side in sides]
        before = list(tokens(whole[0][:cut]))
        if all(list(tokens(text)[: len(before)]) == before for text in whole):
            return whole[0][:cut], [text[cut:] for text in whole]
    raise BoundaryError("the prompt ends within a token of this vocabulary")


def chat(
    prefix: str, sides: Sequence[str], record: Json, layout: RowLayout
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
        before = [{"role": "user", "content": prompt_text(record, layout).strip()}]
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
