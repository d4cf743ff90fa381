"""Do draws from a prefix agree on an answer? Read from the evidence in a trace's tree.

Of the answers that were reached by draws from a prefix, the share of the most frequent one
(self-consistency, Wang et al., arXiv:2203.11171, at every prefix), and their entropy. It needs no
reference answer. It is no label of step-label, because labels do without the grader, which decides
whether two answers are the same; and it draws nothing, because step-rollout does that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log
from typing import Any, NamedTuple

from stepkit.core import trace
from stepkit.core.selection import classes
from stepkit.core.tree import draws_at
from stepkit.schema import ROOT, Json
from stepkit.search.scheduler import Strategy
from stepkit.search.scorers import TraceScores


class AnswerAgreement(NamedTuple):
    """The answers of the draws from one prefix.

    Attributes:
        x: k / n; None without an answer.
        k: draws with the most frequent answer; of equally frequent ones the one seen first.
        n: draws with an answer.
        undecided: draws without: none was found, or they were cut off. Failed ones are in neither.
        entropy: of the answers' shares, nats; the estimate from counts, which is too low for few.
        answer: the most frequent one.
    """

    x: float | None
    k: int
    n: int
    undecided: int
    entropy: float | None
    answer: str | None


class ConsistencyScorer:
    """A Scorer (see __init__.py) that sends no requests.

    Args:
        same: whether two answers mean the same.
        sampler: whose draws count, where several drew: an id or an index.
    """

    of = "confidence"

    def __init__(
        self,
        same: Callable[[str, str], bool],
        meta: Mapping[str, Any],
        sampler: str | None = None,
    ) -> None:
        self.meta = meta
        self._same, self._sampler = same, sampler

    def score(self, record: Json, steps: Sequence[str], first: int = 0) -> Strategy[TraceScores]:
        yield from ()
        tree = trace.spine_tree(record, steps)
        by, _ = trace.choose_sampler(tree, self._sampler)
        own = trace.assistant_steps(record, len(steps))
        finals = tree.get("final") or [None] * len(tree["parent"])
        nodes = tree.get("spine", [])
        root = self._at(tree, ROOT, by, finals)
        found = [
            self._at(tree, node, by, finals) if mine else None
            for node, mine in zip(nodes, own, strict=True)
        ]
        columns = {
            name: [None if one is None else getattr(one, name) for one in found]
            for name in AnswerAgreement._fields[1:]
        }
        x = [None if one is None else one.x for one in found]
        return TraceScores(x, more={**columns, "root": root._asdict()})

    def _at(self, tree: Json, node: int, by: int, finals: Sequence[str | None]) -> AnswerAgreement:
        if tree["finish"][node]:  # it ended here: its own answer is the only one
            return agreement([finals[node]], self._same)
        draws = [one for one in draws_at(tree, node, by) if tree["whole"][one]]
        ended = [one for one in draws if tree["finish"][one] != "error"]
        answers = [finals[one] if tree["finish"][one] == "stop" else None for one in ended]
        return agreement(answers, self._same)


def agreement(answers: Sequence[str | None], same: Callable[[str, str], bool]) -> AnswerAgreement:
    """The agreement of some answers; None is a draw without one."""
    groups = classes(answers, same)
    n = sum(len(group.members) for group in groups)
    undecided = len(answers) - n
    if not n:
        return AnswerAgreement(None, 0, 0, undecided, None, None)
    best = max(groups, key=lambda group: len(group.members))
    shares = [len(group.members) / n for group in groups]
    entropy = max(0.0, -sum(share * log(share) for share in shares))
    k = len(best.members)
    return AnswerAgreement(k / n, k, n, undecided, entropy, best.answer)
