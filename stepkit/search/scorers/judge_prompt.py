"""Shared by all judges: how a trace is put into their prompt, and which steps they judge."""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.core.trace import assistant_steps
from stepkit.model.engine import FinishedDraw
from stepkit.model.prefixes import Ids, Prefixes
from stepkit.schema import Json
from stepkit.text.prompt_template import filled


class JudgePrompt:
    """A prompt with places in it, laid out as a user's message.

    No special token is recognised in it, nor in the values put into it (model/chat.py).
    """

    def __init__(self, prefixes: Prefixes, form: str) -> None:
        self._prefixes = prefixes
        self._form = form

    def ids(self, **values: str) -> Ids:
        """The prompt's tokens, up to the start of the judge's reply."""
        return self._prefixes.prompter.prompt(filled(self._form, **values))


def with_reply(prefixes: Prefixes, prompt: Ids, *parts: str | FinishedDraw) -> Ids:
    """A prompt and a prefix of its reply; draws go in by their own tokens."""
    for part in parts:
        if isinstance(part, FinishedDraw):
            prompt += prefixes.exact(part.text) if part.ids is None else part.ids
        else:
            prompt += prefixes.exact(part)
    return prompt


def judged_steps(record: Json, steps: Sequence[str], first: int = 0) -> list[int]:
    """The model's own steps from ``first`` on; tool outputs and other roles are not judged."""
    own = [True] * len(steps)
    if steps == record.get("steps"):
        own = assistant_steps(record, len(steps))
    return [number for number in range(first, len(steps)) if own[number]]
