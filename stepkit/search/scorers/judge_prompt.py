"""What all judges share: how a trace is put into their prompt, and which steps they judge."""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.core.trace import assistant_steps
from stepkit.model.engine import FinishedDraw
from stepkit.model.prefixes import Ids, Prefixes
from stepkit.schema import Json
from stepkit.text.prompt_template import filled


class JudgePrompt:
    """A prompt with places in it, laid out as a user's message.

    No special token is recognised in it, nor in what is put into it (model/chat.py).
    """

    def __init__(self, prefixes: Prefixes, form: str) -> None:
        self._prefixes = prefixes
        self._form = form

    def ids(self, **values: str) -> Ids:
        """The prompt's tokens, up to where the judge's reply begins."""
        return self._prefixes.prompter.prompt(filled(self._form, **values))


def with_reply(prefixes: Prefixes, prompt: Ids, *said: str | FinishedDraw) -> Ids:
    """A prompt and the beginning of its reply; what was drawn goes in by its own tokens."""
    for part in said:
        if isinstance(part, FinishedDraw):
            prompt += prefixes.exact(part.text) if part.ids is None else part.ids
        else:
            prompt += prefixes.exact(part)
    return prompt


def judged_steps(data: Json, steps: Sequence[str], first: int = 0) -> list[int]:
    """The steps from ``first`` on that are the model's own; what came back to it is not judged."""
    own = [True] * len(steps)
    if steps == data.get("steps"):
        own = assistant_steps(data, len(steps))
    return [number for number in range(first, len(steps)) if own[number]]
