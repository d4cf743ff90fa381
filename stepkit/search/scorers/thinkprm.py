"""ThinkPRM: a verifier that thinks about a prefix and then judges whether it is correct.

Khalifa et al., arXiv:2504.16828, and the authors' code (mukhal/ThinkPRM, prm/thinkprm_api.py): the
problem and the steps so far, a rationale that starts with fixed words, then a closing question; the
score is the share of "yes" against "no", averaged over independent rationales. One score per
prefix, so a trace of T steps takes T rationales. A rationale that was cut off is followed by the
question all the same, as there; ``cut`` counts them.

Where this differs: "yes" and "no" are compared by their first tokens in all their spellings; a
step's own "Step 3:" is left out where the step starts with it, not within.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stepkit import schema
from stepkit.model.engine import Draw, FinishedDraw
from stepkit.model.sampler import Sampler
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores, run_together
from stepkit.search.scorers.answer_probabilities import AnswerProbabilities
from stepkit.search.scorers.critique import PURPOSE
from stepkit.search.scorers.judge_prompt import JudgePrompt, judged_steps, with_reply

OPENER = "\nLet's verify step by step:"
QUESTION = "\nIs the solution correct?"
STOPS = ("Is the solution correct?", "</think>")
ANSWERS = ("yes", "no")
OWN_NUMBER = re.compile(r"^\s*(?:## )?Step \d+:\s*")


class ThinkPrmScorer:
    """A Scorer (see __init__.py).

    ``n`` is how many rationales came to a verdict; ``why`` is the first one.

    Args:
        draws: rationales for each prefix.
    """

    of = "validity"

    def __init__(
        self,
        question: JudgePrompt,
        sampler: Sampler,
        answers: AnswerProbabilities,
        meta: Mapping[str, Any],
        draws: int,
    ) -> None:
        self.meta = meta
        self._question = question
        self._prefixes = sampler.prefixes
        self._sampler = sampler
        self._answers = answers
        self._draws = draws

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        problem = schema.problem_text(record)
        judged = judged_steps(record, steps, first)
        found = yield from run_together([self._prefix(problem, steps[: at + 1]) for at in judged])
        x: list[float | None] = [None] * len(steps)
        n, cut = [0] * len(steps), [0] * len(steps)
        why: list[str | None] = [None] * len(steps)
        for at, (shares, rationales) in zip(judged, found, strict=True):
            known = [share for share in shares if share is not None]
            x[at] = sum(known) / len(known) if known else None
            n[at] = len(known)
            cut[at] = sum(one.finish == "length" for one in rationales)
            why[at] = rationales[0].text.strip()
        return TraceScores(x, more={"n": n, "cut": cut, "why": why})

    def _prefix(
        self, problem: str, steps: Sequence[str]
    ) -> Strategy[tuple[list[float | None], list[FinishedDraw]]]:
        """The share of "yes" after each rationale about these steps, and the rationales."""
        question = self._question.ids(problem=problem, steps=_numbered(steps))
        prompt = with_reply(self._prefixes, question, OPENER)
        next_step = f"Step {len(steps) + 1}:"
        rationales = yield [self._draw(prompt, number, next_step) for number in range(self._draws)]
        closed = [with_reply(self._prefixes, prompt, one, QUESTION) for one in rationales]
        shares = yield from self._answers.choose(closed)
        return [None if share is None else share[0] for share in shares], list(rationales)

    def _draw(self, prompt: tuple[int, ...], number: int, next_step: str) -> Draw:
        draw = self._sampler.draw(prompt, PURPOSE, number, origin=next_step)
        return replace(draw, sampling=replace(self._sampler.sampling, stop=(*STOPS, next_step)))


def _numbered(steps: Sequence[str]) -> str:
    plain = [OWN_NUMBER.sub("", step).strip() for step in steps]
    return "\n".join(f"Step {number}: {step}" for number, step in enumerate(plain, 1))
