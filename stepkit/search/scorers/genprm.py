r"""GenPRM: a verifier in a conversation, which analyses each paragraph and then judges it.

Zhao et al., arXiv:2504.00891, and the authors' code (RyanLiu112/GenPRM, prm_evaluation): the system
message, the problem and the first step as the first message, one step a message, and the model's
own analyses and judgements as replies between them. A score is the share of "Yes" against "No"
at the judgement, averaged over independent conversations.

Where this differs: the stage in which the model writes code to check a paragraph, which is then
run, is left out (their ``verify=False``): nothing that a model wrote is executed here. "Yes" and
"No" are read after ``\boxed{``, where their code looks for them in the drawn text; and a missing
alternative or judgement is never given a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stepkit import schema
from stepkit.model.engine import FinishedDraw
from stepkit.model.sampler import Sampler
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores, run_together
from stepkit.search.scorers.answer_probabilities import AnswerProbabilities
from stepkit.search.scorers.critique import PURPOSE
from stepkit.search.scorers.judge_prompt import judged_steps, with_reply

STOP = "</analyze>"
JUDGEMENT = "\n<output>\n**Judgement**: $\\boxed{"
END = "}$\n</output>\n"
ANSWERS = ("Yes", "No")


class GenPrmScorer:
    """A Scorer (see __init__.py).

    ``n`` is how many conversations came to a verdict, ``cut`` how many analyses were cut off (and
    followed by the judgement all the same); ``why`` is the first conversation's analysis.

    Args:
        system: the system message.
        draws: conversations about a trace.
    """

    of = "validity"

    def __init__(
        self,
        system: str,
        sampler: Sampler,
        answers: AnswerProbabilities,
        meta: Mapping[str, Any],
        draws: int,
    ) -> None:
        self.meta = meta
        self._prefixes = sampler.prefixes
        self._system = system.strip()
        self._sampler = sampler
        self._answers = answers
        self._draws = draws

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        problem = schema.problem_text(record)
        judged = judged_steps(record, steps)
        chats = [self._conversation(problem, steps, judged, n) for n in range(self._draws)]
        found = yield from run_together(chats)
        x: list[float | None] = [None] * len(steps)
        n, cut = [0] * len(steps), [0] * len(steps)
        why: list[str | None] = [None] * len(steps)
        for place, at in enumerate(judged):
            turns = [chat[place] for chat in found if place < len(chat)]
            known = [share for share, _ in turns if share is not None]
            x[at] = sum(known) / len(known) if known else None
            n[at] = len(known)
            cut[at] = sum(draw.finish == "length" for _, draw in turns)
            why[at] = turns[0][1].text.strip() if turns else None
        return TraceScores(x, more={"n": n, "cut": cut, "why": why})

    def _conversation(
        self, problem: str, steps: Sequence[str], judged: Sequence[int], number: int
    ) -> Strategy[list[tuple[float | None, FinishedDraw]]]:
        """(Share of "Yes", analysis) of the steps, one after the other, as far as they have one."""
        messages = [{"role": "system", "content": self._system}]
        message = f"{problem}\n"
        turns: list[tuple[float | None, FinishedDraw]] = []
        for at, step in enumerate(steps):
            message += step.strip()
            if at not in judged:
                message += "\n"
                continue
            messages.append({"role": "user", "content": message})
            opener = f"<analyze>\nLet's analyze the Paragraph {at + 1} step by step: "
            prompt = self._prefixes.prompter.prompt(message, messages)
            opened = with_reply(self._prefixes, prompt, opener)
            (draw,) = yield [self._sampler.draw(opened, PURPOSE, number)]
            closed = with_reply(self._prefixes, opened, draw, STOP + JUDGEMENT)
            (shares,) = yield from self._answers.choose([closed])
            turns.append((None if shares is None else shares[0], draw))
            if shares is None:
                break  # the next turn cannot follow a reply without a judgement
            word = ANSWERS[shares[0] < shares[1]]
            reply = f"{opener}{draw.text}{STOP}{JUDGEMENT}{word}{END}"
            messages.append({"role": "assistant", "content": reply})
            message = ""
        return turns
