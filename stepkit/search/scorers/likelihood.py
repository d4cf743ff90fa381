"""A model's own log-probability of the steps that it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from stepkit.core.tokens import LOGPROBS, SIZES
from stepkit.model.engine import LOGPROB_DIGITS, Read
from stepkit.model.prefixes import Prefixes
from stepkit.search.scorers import Asking, Json, Scored
from stepkit.seeds import digest
from stepkit.text.tokens import Tokens


class Likelihood:
    """A Scorer (see __init__.py): mean log-probability of a step's tokens, nats per token.

    A token belongs to the step that holds its first byte; a step that holds none has no score.
    Over the bytes of a text (see engine.Readout) only those count with which a token begins.

    Args:
        keep_tokens: put the log-probability of every token into the entry, rounded to
            LOGPROB_DIGITS (core/tokens.py).
        model: name of the model among several (model/several.py).
    """

    of = "confidence"

    def __init__(
        self,
        prefixes: Prefixes,
        meta: Mapping[str, Any],
        keep_tokens: bool = False,
        model: str = "",
    ) -> None:
        self.meta = meta
        self._prefixes = prefixes
        self._keep_tokens = keep_tokens
        self._model = model

    def score(self, data: Json, steps: Sequence[str], first: int = 0) -> Asking[Scored]:
        prompt = self._prefixes.prompt(data)
        response = self._prefixes.response({**data, "response": "".join(steps)})
        if not response:
            return self._scored([None] * len(steps), None, Tokens([], []))
        ids = prompt + response
        positions = tuple(range(len(prompt) - 1, len(ids) - 1))
        key = digest("read", ids, positions, size=12)
        (readout,) = yield [Read(key, ids, positions, model=self._model)]
        ends = self._prefixes.ends(response)
        starts = [0, *ends[:-1]]
        begun = [(at, row[0]) for at, row in zip(starts, readout.values, strict=True) if row]
        if not begun:
            return self._scored([None] * len(steps), None, Tokens([], []))
        bounds = [*(start for start, _ in begun), ends[-1]]
        sizes = [end - start for start, end in pairwise(bounds)]
        rounded = [round(logprob, LOGPROB_DIGITS) for _, logprob in begun]
        total = sum(logprob for _, logprob in begun) / len(begun)
        return self._scored(_means(steps, begun), total, Tokens(sizes, rounded))

    def _scored(self, x: list[float | None], total: float | None, tokens: Tokens) -> Scored:
        kept = {SIZES: tokens.size, LOGPROBS: tokens.logprob} if self._keep_tokens else {}
        return Scored(x, total, kept)


def _means(steps: Sequence[str], begun: Sequence[tuple[int, float]]) -> list[float | None]:
    """Mean of the numbers that begin in each step's bytes; None where none does."""
    means: list[float | None] = []
    begin = 0
    for step in steps:
        end = begin + len(step.encode("utf-8", "surrogatepass"))
        own = [logprob for start, logprob in begun if begin <= start < end]
        means.append(sum(own) / len(own) if own else None)
        begin = end
    return means
