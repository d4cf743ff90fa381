"""A chat model as judge of all steps at once: one critique with a verdict on each of them.

As in CAPO (Xie et al., arXiv:2508.02298): one pass of a generative judge over the numbered steps,
several times, and a vote. There the text is parsed and what cannot be parsed is lost; here, where
the model runs in this process, a grammar allows nothing but one verdict per step.

With a reference solution, SPARE's single pass (Rizvi et al., arXiv:2506.15498): each step is first
matched with a step of the reference. There the annotator also names the kind of error, with worked
examples in the prompt; here the kind is part of its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from stepkit import schema
from stepkit.model.engine import Draw, FinishedDraw
from stepkit.model.prefixes import Ids
from stepkit.model.sampler import Sampler
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores
from stepkit.search.scorers.critique_votes import StepVotes, spread, tally
from stepkit.search.scorers.judge_prompt import JudgePrompt, judged_steps
from stepkit.text.critiques import CritiqueForm, CritiqueVerdict, numbered, read, reference_steps

PURPOSE = "critique"

StepCritique = CritiqueVerdict | str
"""The verdict of a critique on a step, or why it gives none."""


class CritiqueScorer:
    """A Scorer (see __init__.py).

    ``k`` of ``n`` critiques call a step right, ``undecided`` give it no verdict; ``why`` is the
    reason of the first one that agrees with most, or why there is no verdict.

    Args:
        draws: critiques of a trace.
        vote: one of voting.VOTES.
        grammar: hold the critique to its form by a grammar (for a model in this process).
    """

    of = "validity"

    def __init__(
        self,
        question: JudgePrompt,
        sampler: Sampler,
        shape: CritiqueForm,
        meta: Mapping[str, Any],
        *,
        draws: int,
        vote: str,
        grammar: bool,
    ) -> None:
        self.meta = meta
        self._question = question
        self._sampler = sampler
        self._shape = shape
        self._draws = draws
        self._vote = vote
        self._grammar = grammar

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        judged = judged_steps(record, steps, first)
        references = self._references(record)
        numbers = [at + 1 for at in judged]
        prompt = self._question.ids(
            problem=schema.problem_text(record),
            steps=numbered(steps),
            solution=numbered(references),
            good=self._shape.good,
            bad=self._shape.bad,
        )
        critiques: Sequence[FinishedDraw] = []
        if judged:
            critiques = yield [
                self._draw(prompt, number, numbers, len(references))
                for number in range(self._draws)
            ]
        rows = [
            [_cut(one, drawn) for one in read(drawn.text, self._shape, numbers, len(references))]
            for drawn in critiques
        ]
        return self._scored(rows, judged, len(steps))

    def _references(self, record: Json) -> list[str]:
        return reference_steps(schema.text(record, "solution")) if self._shape.matches else []

    def _draw(self, prompt: Ids, number: int, steps: Sequence[int], references: int) -> Draw:
        if not self._grammar:
            return self._sampler.draw(prompt, PURPOSE, number)
        grammar = self._shape.grammar(steps, references)
        draw = self._sampler.draw(prompt, PURPOSE, number, origin=grammar)
        sampling = self._sampler.sampling
        most = min(sampling.max_tokens, self._shape.most_bytes(steps, references))
        return replace(draw, sampling=replace(sampling, grammar=grammar, max_tokens=most))

    def _scored(
        self, rows: list[list[StepCritique]], judged: Sequence[int], steps: int
    ) -> TraceScores:
        """The scores of a trace of ``steps`` steps from ``rows``, [critiques][judged]."""
        counted = tally([[_right(one) for one in row] for row in rows], len(judged))
        columns = [[row[place] for row in rows] for place in range(len(judged))]
        why = [_reason(column, counted, place) for place, column in enumerate(columns)]
        more: dict[str, Any] = {
            "k": spread(counted.k, judged, steps, 0),
            "n": spread(counted.n, judged, steps, 0),
            "undecided": spread(counted.undecided, judged, steps, 0),
            "why": spread(why, judged, steps, None),
        }
        if self._shape.matches:
            more["reference"] = spread(map(_matched, columns), judged, steps, None)
        return TraceScores(spread(counted.x(self._vote), judged, steps, None), more=more)


def _right(one: StepCritique) -> bool | None:
    return one.right if isinstance(one, CritiqueVerdict) else None


def _cut(one: StepCritique, drawn: FinishedDraw) -> StepCritique:
    if drawn.finish == "length" and isinstance(one, str):
        return f"the critique was cut off at {drawn.tokens} tokens"
    return one


def _reason(column: Sequence[StepCritique], counted: StepVotes, place: int) -> str | None:
    right = 2 * counted.k[place] >= counted.n[place]
    agreeing = [
        one.why for one in column if isinstance(one, CritiqueVerdict) and one.right == right
    ]
    failures = [one for one in column if isinstance(one, str)]
    return next(iter([*agreeing, *failures]), None)


def _matched(column: Sequence[StepCritique]) -> int | None:
    """The reference step that most critiques name, the first such one; None without any."""
    named = Counter(one.reference for one in column if isinstance(one, CritiqueVerdict))
    return named.most_common(1)[0][0] if named else None
