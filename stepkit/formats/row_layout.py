"""How a row's texts are laid out: prompt, sides, and where the white space between them goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stepkit import schema
from stepkit.core import trace
from stepkit.errors import DataError
from stepkit.formats.row_views import messages
from stepkit.formats.step_separators import NEWLINE
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
        separator: what the trainer puts after each step, where it lets the user choose.
        chat_sampler: the sampler with a chat template that the record's draws were made with: a
            chat has the messages that it laid out. None without one.
    """

    prompt: str = DEFAULT_PROMPT
    scope: str = "continuation"
    chat: bool = False
    tokens: Callable[[str], Sequence[int]] | None = None
    separator: str = NEWLINE
    chat_sampler: Json | None = None


class BoundaryError(DataError):
    """A side cannot be parted from its prompt between two tokens."""


def tree_sampler(record: Json, sampler: str | None) -> Json | None:
    """What the draws in the record's tree were made with; None without any.

    Args:
        sampler: id or index of the one that counts, if several drew. Raises DataError where it
            would be needed: they laid the problem out differently.
    """
    tree = record.get("tree")
    made = tree.get("samplers") if isinstance(tree, dict) else None
    if not made:
        return None
    if sampler is None and all(_layout(one) == _layout(made[0]) for one in made):
        return made[0] if isinstance(made[0], dict) else None
    index = trace.choose_sampler(record["tree"], sampler)[0]
    return made[index] if index >= 0 else None


def attempt_sampler(record: Json) -> Json | None:
    """What the attempt itself was made with, else what continued it; None if unknown."""
    sample = record.get("sample")
    made = sample.get("sampler") if isinstance(sample, dict) else None
    if isinstance(made, dict):
        return made
    try:
        return tree_sampler(record, None)
    except DataError:  # several continued it in their own ways: none of them need be the attempt's
        return None


def _layout(made: Any) -> list[Any]:
    """All of a sampler that decides how it lays a problem out."""
    keys = ("prompt", "rendered", "system")
    return [made.get(key) for key in keys] if isinstance(made, dict) else []


def sampler_prompt(made: Json) -> str | None:
    """The text of a sampler's prompt, with {problem} for the problem; None if it is unknown, as it
    is of a chat template in evidence of older versions."""
    rendered, prompt = made.get("rendered"), made.get("prompt")
    if isinstance(rendered, str):
        return rendered
    return prompt if isinstance(prompt, str) and PROBLEM in prompt else None


def has_chat_template(made: Json) -> bool:
    """Whether a sampler laid problems out by a chat template, of which ``prompt`` is the hash."""
    prompt = made.get("prompt")
    return isinstance(prompt, str) and prompt.startswith("chat:") and PROBLEM not in prompt


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
    user's; of draws that were made by a chat template those that it was given, with their system
    message. White space around a text is left out: some templates strip it, others do not, and
    axolotl loses an answer whose template did.
    """
    prompt, made = record.get("prompt"), layout.chat_sampler
    if isinstance(prompt, list) and (made is None or "problem" not in record):
        if made is not None:
            prompt = prompt[: schema.last_user(prompt) + 1]
        turns = messages(prompt, "prompt")
        if turns[-1][0] == "assistant":
            raise DataError("ends with the assistant's turn: an answer opens another", "prompt")
        before = [{"role": role, "content": content} for role, content in turns]
    else:
        before = [{"role": "user", "content": prompt_text(record, layout).strip()}]
    system = None if made is None else made.get("system")
    if isinstance(system, str) and all(message["role"] != "system" for message in before):
        before.insert(0, {"role": "system", "content": system})
    return before, [(prefix + side).strip() for side in sides]


def boundary(prompt: str, sides: Sequence[str]) -> tuple[str, list[str]]:
    """Move white space across the cut to where tokenisers keep the prompt's tokens as they are.

    Newlines that all sides begin with go to the prompt, else they merge with its last
    punctuation; spaces at the prompt's end go to the sides, whose first word they belong to. With
    the mark of a special token at the prompt's end nothing merges, and the cut stays.
    """
    if prompt.endswith("|>"):
        return prompt, list(sides)
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
