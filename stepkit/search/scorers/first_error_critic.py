r"""A chat model as critic: it says in which paragraph the first error is (ProcessBench).

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
from stepkit.search.scorers import Asking, TraceScores
from stepkit.search.scorers.critique import PURPOSE
from stepkit.search.scorers.critique_votes import spread, tally
from stepkit.search.scorers.judge_prompt import JudgePrompt, judged
from stepkit.text.boxes import last_box
from stepkit.text.critiques import paragraphs

NONE = -1


class FirstErrorCritic:
    """A Scorer (see __init__.py).

    A critique that finds the first error in step t says that the steps before t are right and t is
    wrong; of those after t it says nothing. So ``x`` is k/n over the critiques that say something
    of a step. ``first`` is the vote, None when all are undecided.

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

    def score(self, data: Json, steps: Sequence[str], first: int = 0) -> Asking[TraceScores]:
        prompt = self._question.ids(problem=schema.problem_text(data), steps=paragraphs(steps))
        critiques = yield [self._sampler.draw(prompt, PURPOSE, n) for n in range(self._draws)]
        asked = judged(data, steps)
        found = [named(drawn, {NONE, *asked}) for drawn in critiques]
        counted = tally([[_verdict(one, at) for at in asked] for one in found], len(asked))
        votes = Counter(one for one in found if one is not None)
        vote = votes.most_common(1)[0][0] if votes else None
        why: list[str | None] = [None] * len(steps)
        if vote is not None and vote != NONE:
            why[vote] = critiques[found.index(vote)].text.strip()
        more = {
            "k": spread(counted.k, asked, len(steps), 0),
            "n": spread(counted.n, asked, len(steps), 0),
            "undecided": spread(counted.undecided, asked, len(steps), 0),
            "first": vote,
            "votes": 0 if vote is None else votes[vote],
            "why": why,
        }
        return TraceScores(spread(counted.x("mean"), asked, len(steps), None), more=more)


def named(drawn: FinishedDraw, known: Collection[int]) -> int | None:
    """The step that a critique names as the first wrong one, NONE for none; None: undecided."""
    box, closed = last_box(drawn.text)
    if drawn.finish != "stop" or not closed or box is None:
        return None
    said = re.fullmatch(r"-?\d{1,9}", box.strip())
    number = int(said[0]) if said else None
    return number if number in known else None


def _verdict(first: int | None, at: int) -> bool | None:
    """What a critique that found its first error there says of a step."""
    if first is None or (first != NONE and at > first):
        return None
    return first == NONE or at < first
