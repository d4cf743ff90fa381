"""A chat model as judge of all steps at once: one critique with a verdict on each of them.

As CAPO (Xie et al., arXiv:2508.02298) asks for: one pass of a generative judge over the numbered
steps, several times, and a vote. There the text is parsed and what cannot be parsed is lost; here,
where the model runs in this process, a grammar lets it write nothing but one verdict per step.

With a reference solution, SPARE's single pass (Rizvi et al., arXiv:2506.15498): each step is first
matched with a step of the reference. There the annotator also names the kind of error, with worked
examples in the prompt; here it says it in its reason.
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
from stepkit.search.scorers import Asking, TraceScores
from stepkit.search.scorers.critique_votes import StepVotes, spread, tally
from stepkit.search.scorers.judge_prompt import JudgePrompt, judged_steps
from stepkit.text.critiques import CritiqueForm, CritiqueVerdict, numbered, read, reference_steps

PURPOSE = "critique"

StepCritique = CritiqueVerdict | str
"""What a critique says of a step, or why it says nothing."""


class CritiqueScorer:
    """A Scorer (see __init__.py).

    ``k`` of ``n`` critiques call a step right, ``undecided`` give it no verdict; ``why`` is the
    reason of the first one that agrees with most, or why there is no verdict.

    Args:
        draws: critiques of a trace.
        vote: one of voting.VOTES.
        held: the model runs here, and a grammar holds it to the form.
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
        held: bool,
    ) -> None:
        self.meta = meta
        self._question = question
        self._sampler = sampler
        self._shape = shape
        self._draws = draws
        self._vote = vote
        self._held = held

    def score(self, data: Json, steps: Sequence[str], first: int = 0) -> Asking[TraceScores]:
        asked = judged_steps(data, steps, first)
        references = self._references(data)
        numbers = [at + 1 for at in asked]
        prompt = self._question.ids(
            problem=schema.problem_text(data),
            steps=numbered(steps),
            solution=numbered(references),
            good=self._shape.good,
            bad=self._shape.bad,
        )
        critiques: Sequence[FinishedDraw] = []
        if asked:
            critiques = yield [
                self._draw(prompt, number, numbers, len(references))
                for number in range(self._draws)
            ]
        rows = [
            [_cut(one, drawn) for one in read(drawn.text, self._shape, numbers, len(references))]
            for drawn in critiques
        ]
        return self._scored(rows, asked, len(steps))

    def _references(self, data: Json) -> list[str]:
        return reference_steps(schema.text(data, "solution")) if self._shape.matches else []

    def _draw(self, prompt: Ids, number: int, steps: Sequence[int], references: int) -> Draw:
        if not self._held:
            return self._sampler.draw(prompt, PURPOSE, number)
        grammar = self._shape.grammar(steps, references)
        draw = self._sampler.draw(prompt, PURPOSE, number, origin=grammar)
        sampling = self._sampler.sampling
        most = min(sampling.max_tokens, self._shape.most_bytes(steps, references))
        return replace(draw, sampling=replace(sampling, grammar=grammar, max_tokens=most))

    def _scored(
        self, rows: list[list[StepCritique]], asked: Sequence[int], steps: int
    ) -> TraceScores:
        """
        Args:
            rows: [critiques][asked].
        """
        counted = tally([[_right(one) for one in row] for row in rows], len(asked))
        columns = [[row[place] for row in rows] for place in range(len(asked))]
        why = [_reason(column, counted, place) for place, column in enumerate(columns)]
        more: dict[str, Any] = {
            "k": spread(counted.k, asked, steps, 0),
            "n": spread(counted.n, asked, steps, 0),
            "undecided": spread(counted.undecided, asked, steps, 0),
            "why": spread(why, asked, steps, None),
        }
        if self._shape.matches:
            more["reference"] = spread(map(_matched, columns), asked, steps, None)
        return TraceScores(spread(counted.x(self._vote), asked, steps, None), more=more)


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
