r"""A chat model as critic: it names the paragraph of the first error (ProcessBench).

Zheng et al., arXiv:2412.06559, section 3.3: the steps are tagged and numbered from 0, the critic
ends with a number in ``\boxed{}``, -1 for none, and of several critiques the most frequent number
counts. Where this differs: numbers are compared as numbers, not as texts; a critique without the
number of a step, or one that was cut off, is undecided and votes for nothing; the prompt is in our
words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stepkit import schema
from stepkit.model.engine import FinishedDraw
from stepkit.model.sampler import Sampler
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores
from stepkit.search.scorers.critique import PURPOSE
from stepkit.search.scorers.critique_votes import spread, tally
from stepkit.search.scorers.judge_prompt import JudgePrompt, judged_steps
from stepkit.text.boxes import last_box
from stepkit.text.critiques import paragraphs

NONE = -1


class FirstErrorCritic:
    """A Scorer (see __init__.py).

    A critique that finds the first error in step t calls the steps before t right and t wrong; it
    gives no verdict on those after t. So ``x`` is k/n over the critiques with a verdict on a step.
    ``first`` is the vote, None when all are undecided.

    Args:
        draws: critiques of a trace.
    """

    of = "validity"

    def __init__(
        self, question: JudgePrompt, sampler: Sampler, meta: Mapping[str, Any], draws: int
    ) -> None:
        self.meta = meta
        self._question = question
        self._sampler = sampler
        self._draws = draws

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        prompt = self._question.ids(problem=schema.problem_text(record), steps=paragraphs(steps))
        critiques = yield [self._sampler.draw(prompt, PURPOSE, n) for n in range(self._draws)]
        judged = judged_steps(record, steps)
        found = [named_step(draw, {NONE, *judged}) for draw in critiques]
        counted = tally([[_verdict(one, at) for at in judged] for one in found], len(judged))
        votes = Counter(one for one in found if one is not None)
        vote = votes.most_common(1)[0][0] if votes else None
        why: list[str | None] = [None] * len(steps)
        if vote is not None and vote != NONE:
            why[vote] = critiques[found.index(vote)].text.strip()
        more = {
            "k": spread(counted.k, judged, len(steps), 0),
            "n": spread(counted.n, judged, len(steps), 0),
            "undecided": spread(counted.undecided, judged, len(steps), 0),
            "first": vote,
            "votes": 0 if vote is None else votes[vote],
            "why": why,
        }
        return TraceScores(spread(counted.x("mean"), judged, len(steps), None), more=more)


def named_step(draw: FinishedDraw, known: Collection[int]) -> int | None:
    """The step that a critique names as the first wrong one, NONE for none; None: undecided."""
    box, closed = last_box(draw.text)
    if draw.finish != "stop" or not closed or box is None:
        return None
    match = re.fullmatch(r"-?\d{1,9}", box.strip())
    number = int(match[0]) if match else None
    return number if number in known else None


def _verdict(first: int | None, at: int) -> bool | None:
    """The verdict on step ``at`` of a critique whose first error is ``first``."""
    if first is None or (first != NONE and at > first):
        return None
    return first == NONE or at < first
