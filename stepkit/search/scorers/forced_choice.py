"""A chat model as judge of every step, by a forced choice after it, without generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepkit import schema
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores
from stepkit.search.scorers.answer_probabilities import AnswerProbabilities
from stepkit.search.scorers.judge_prompt import JudgePrompt, judged_steps


class ForcedChoiceScorer:
    """A Scorer (see __init__.py): the judge gets the trace up to a step and is asked about that.

    With two answers a score is the share of the good one. With three (good, neutral, bad) it is
    that of the good one and half that of the neutral one: the expected label of -1, 0 and 1, moved
    to 0 .. 1; the most probable label of each step is ``verdict``.

    Args:
        words: the answers as the prompt names them, by the places that it has for them.
    """

    of = "validity"

    def __init__(
        self,
        question: JudgePrompt,
        answers: AnswerProbabilities,
        words: Mapping[str, str],
        meta: Mapping[str, Any],
    ) -> None:
        self.meta = meta
        self._question = question
        self._answers = answers
        self._words = words

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        judged = judged_steps(record, steps, first)
        problem = schema.problem_text(record)
        prompts = [
            self._question.ids(
                problem=problem, given="".join(steps[:at]), step=steps[at], **self._words
            )
            for at in judged
        ]
        shares = yield from self._answers.choose(prompts)
        x: list[float | None] = [None] * len(steps)
        labels: list[int | None] = [None] * len(steps)
        for at, share in zip(judged, shares, strict=True):
            if share is not None:
                x[at] = share[0] + (share[1] / 2 if len(share) == 3 else 0.0)
                labels[at] = 1 - max(range(len(share)), key=lambda answer: share[answer])
        return TraceScores(x, more={"verdict": labels} if len(self._words) == 3 else {})
