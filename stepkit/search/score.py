"""Reading scores for the steps of a trace: one decode per trace, no draw."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise

from stepkit.model.engine import LOGPROB_DIGITS, Read, Readout
from stepkit.model.prefixes import Ids, Prefixes
from stepkit.model.profiles import Reader
from stepkit.seeds import digest
from stepkit.text.tokens import Tokens

Scores = tuple[list[float | None], float | None]
"""One number or None per step, and one for the whole attempt or None."""


def token_logit(
    reader: Reader, problem: str, steps: Sequence[str]
) -> Generator[list[Read], Sequence[Readout], Scores]:
    """A token-logit PRM's score of every step: the positive candidate's share at its marker."""
    ids, positions = reader.layout(problem, steps)
    read = Read(
        digest("read", ids, positions, reader.candidates, size=12),
        ids,
        tuple(positions),
        reader.candidates,
    )
    (readout,) = yield [read]
    return [reader.score(logits) for logits in readout.values], None


def likelihood(
    prefixes: Prefixes, prompt: Ids, response: Ids, steps: Sequence[str]
) -> Generator[list[Read], Sequence[Readout], tuple[Scores, Tokens]]:
    """Mean log-probability (nats per token) that the model itself gives to every step, and the
    tokens it was read from, each log-probability rounded to LOGPROB_DIGITS.

    A token belongs to the step that holds its first byte; a step that holds none has no score.
    Over the bytes of a text (see Readout) only those count with which a token begins.
    """
    if not response:
        return ([None] * len(steps), None), Tokens([], [])
    ids = prompt + response
    positions = tuple(range(len(prompt) - 1, len(ids) - 1))
    (readout,) = yield [Read(digest("read", ids, positions, size=12), ids, positions)]
    ends = prefixes.ends(response)
    starts = [0, *ends[:-1]]
    begun = [(at, row[0]) for at, row in zip(starts, readout.values, strict=True) if row]
    if not begun:
        return ([None] * len(steps), None), Tokens([], [])
    means: list[float | None] = []
    begin = 0
    for step in steps:
        end = begin + len(step.encode("utf-8", "surrogatepass"))
        own = [logprob for start, logprob in begun if begin <= start < end]
        means.append(sum(own) / len(own) if own else None)
        begin = end
    bounds = [*(start for start, _ in begun), ends[-1]]
    sizes = [end - start for start, end in pairwise(bounds)]
    rounded = [round(logprob, LOGPROB_DIGITS) for _, logprob in begun]
    total = sum(logprob for _, logprob in begun) / len(begun)
    return (means, total), Tokens(sizes, rounded)
