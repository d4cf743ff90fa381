"""Self-evaluation: the probability by which the policy itself calls a prefix right.

MCTS-DPO (Xie et al., arXiv 2405.00451, section 3.1, after Xie et al., arXiv 2305.00633): the model
is shown the problem and the attempt up to a step and asked whether it is right; its confidence is
the probability of the token for yes. Where this differs: the share of "Yes" against "No" is taken,
since all other tokens mean neither; and the reference solution, which their prompt holds as a hint,
is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import exp
from typing import Any

from stepkit import schema
from stepkit.errors import DataError
from stepkit.model.engine import Read, Readout
from stepkit.model.sampler import Sampler
from stepkit.schema import Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores
from stepkit.seeds import digest

QUESTION = """{problem}

A student's solution so far:

{given}

Is every step of it right? Answer Yes or No."""

ANSWERS = ("Yes", "No")


class SelfEvaluationScorer:
    """A Scorer (see search/scorers/__init__.py) that asks the policy itself.

    Raises DataError when both answers start with the same token of its vocabulary.
    """

    of = "validity"

    def __init__(self, sampler: Sampler) -> None:
        self.meta: Mapping[str, Any] = {"sampler": sampler.id}
        self._prefixes = sampler.prefixes
        yes, no = (self._prefixes.exact(answer)[0] for answer in ANSWERS)
        if yes == no:
            raise DataError("this model's Yes and No begin with the same token", "self-weight")
        self._candidates = (yes, no)

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        problem = schema.problem_text(record)
        prefixes = list(accumulate(steps))[first:]
        readouts = yield [self._read(problem, prefix) for prefix in prefixes]
        return TraceScores([None] * first + [self._share(readout) for readout in readouts])

    def _read(self, problem: str, prefix: str) -> Read:
        """The request for the evaluation of a prefix, given as text."""
        question = QUESTION.replace("{problem}", problem, 1)
        before, _, after = question.rpartition("{given}")
        ids = self._prefixes.prompter.prompt(f"{before}{prefix}{after}")
        last = len(ids) - 1
        key = digest("read", ids, (last,), self._candidates, size=12)
        return Read(key, ids, (last,), self._candidates)

    @staticmethod
    def _share(readout: Readout) -> float:
        """The share of "Yes"."""
        ((yes, no),) = readout.values
        return 1.0 / (1.0 + exp(min(no - yes, 700.0)))
