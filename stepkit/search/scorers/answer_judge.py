"""A chat model as judge of one question: are two answers the same?

xVerify's task (Chen et al., arXiv:2504.10481): a problem, its reference answer and the answer of an
attempt. There the model was trained for it and replies with one word; here any chat model is asked
for a reason, too, it may be unsure, and several replies are voted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stepkit import schema
from stepkit.model.engine import Draw, FinishedDraw
from stepkit.model.prefixes import Ids
from stepkit.model.sampler import Sampler
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers.critique import PURPOSE
from stepkit.search.scorers.critique_votes import tally
from stepkit.search.scorers.judge_prompt import JudgePrompt
from stepkit.text import answer_replies
from stepkit.text.verdicts import Verdict, open_question


@dataclass(frozen=True)
class AnswerVotes:
    """The vote of several replies.

    Attributes:
        same: what more than half of all replies say; None where neither has so many.
        k: replies that call the answers the same.
        n: replies that decide.
        undecided: the others: unsure, cut off, or without a verdict.
        why: the reason of the first reply that agrees with the vote.
    """

    same: bool | None
    k: int
    n: int
    undecided: int
    why: str


class AnswerJudge:
    """Asks whether the answer of an attempt is the reference answer.

    Args:
        draws: replies to each question.
        longest: most characters of a reason, where a grammar holds the reply to its form.
        grammar: whether one does (for a model in this process).
    """

    def __init__(
        self,
        question: JudgePrompt,
        sampler: Sampler,
        meta: Mapping[str, Any],
        *,
        draws: int,
        longest: int,
        grammar: bool,
    ) -> None:
        self.meta = meta
        self._question = question
        self._sampler = sampler
        self._draws = draws
        self._longest = longest
        self._grammar = answer_replies.grammar(longest) if grammar else ""

    def judge(self, record: Json) -> Strategy[AnswerVotes]:
        """Judge ``final`` of a record against its ``answer``; both are there.

        Raises DataError for a record without a problem.
        """
        prompt = self._question.ids(
            problem=schema.problem_text(record),
            reference=schema.answer_of(record) or "",
            answer=schema.text(record, "final"),
        )
        replies = yield [self._draw(prompt, number) for number in range(self._draws)]
        return vote([_verdict(reply) for reply in replies])

    def _draw(self, prompt: Ids, number: int) -> Draw:
        if not self._grammar:
            return self._sampler.draw(prompt, PURPOSE, number)
        draw = self._sampler.draw(prompt, PURPOSE, number, origin=self._grammar)
        sampling = self._sampler.sampling
        with_end = answer_replies.most_bytes(self._longest) + 1
        most = min(sampling.max_tokens, with_end)
        return replace(draw, sampling=replace(sampling, grammar=self._grammar, max_tokens=most))


def vote(verdicts: Sequence[Verdict]) -> AnswerVotes:
    """What more than half of the verdicts say; those that decide nothing count against both.

    A verdict that most are unsure of would become a label; a step's score, where critiques vote
    (critique_votes.py), shows how many decided.
    """
    counted = tally([[verdict.same] for verdict in verdicts], 1)
    (k,), (n,), (undecided,) = counted.k, counted.n, counted.undecided
    same = True if 2 * k > len(verdicts) else False if 2 * (n - k) > len(verdicts) else None
    agreeing = [verdict.reason for verdict in verdicts if verdict.same is same]
    why = agreeing[0] if agreeing else "as many replies for as against"
    return AnswerVotes(same, k, n, undecided, why)


def _verdict(reply: FinishedDraw) -> Verdict:
    if reply.finish != "stop":
        return open_question(f"the reply was cut off at {reply.tokens} tokens")
    return answer_replies.read(reply.text)
