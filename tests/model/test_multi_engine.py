"""Several models as one engine, and scorers that ask one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulated import RuleEngine

from stepkit.model.engine import Draw, FinishedDraw, Read, Readout, Sampling
from stepkit.model.multi_engine import MultiEngine, name_in_group, open_all
from stepkit.search.scheduler import AttemptRequest, JudgeRequest
from stepkit.search.scorers import TraceScores
from stepkit.search.scorers.model_alias import AliasedScorer


def engine(says: str) -> RuleEngine:
    return RuleEngine(lambda request: FinishedDraw(says, "stop", 1, None, None))


def draw(model: str) -> Draw:
    return Draw("k", (1,), 1, Sampling(), model=model)


def test_every_request_goes_to_the_model_it_names() -> None:
    both = MultiEngine({"": engine("policy"), "prm": engine("verifier")})
    asked = [draw("prm"), draw(""), draw("prm")]
    for request in asked:
        both.submit(request)
    assert both.pending == 3
    done = [one for _ in range(3) for one in both.step()]
    sent_to = {
        id(one.request): one.result.text for one in done if isinstance(one.result, FinishedDraw)
    }
    assert [sent_to[id(request)] for request in asked] == ["verifier", "policy", "verifier"]
    assert not both.pending


def test_several_are_opened_as_one() -> None:
    policy, prm = engine("policy"), engine("verifier")
    both = open_all({"": lambda: policy, "prm": lambda: prm})
    assert both.engines == {"": policy, "prm": prm}
    assert policy.counters is prm.counters is both.counters


def test_models_of_a_group_keep_their_names_in_it() -> None:
    """A scorer with two models of its own, next to a policy."""
    assert (name_in_group("prm", ""), name_in_group("prm", "reference")) == ("prm", "prm/reference")


class Asks:
    """A scorer that asks all that can be asked."""

    of = "value"

    def __init__(self) -> None:
        self.meta: Mapping[str, Any] = {"name": "asks"}

    def score(self, data: Any, steps: Any, first: int = 0) -> Any:
        reads = yield [Read("r", (1, 2), (0,)), Read("s", (1, 2), (0,), model="reference")]
        more = yield [
            AttemptRequest(draw(""), "given", "4"),
            draw("reference"),
            JudgeRequest("text", "4"),
        ]
        return TraceScores([*reads, *more])


def test_a_scorer_asks_the_models_of_its_group() -> None:
    scorer = AliasedScorer(Asks(), "prm")
    scoring: Any = scorer.score({}, ["a"])
    first, second = next(scoring)
    assert (first.model, second.model) == ("prm", "prm/reference")
    attempt, bare, judge = scoring.send([Readout(()), Readout(())])
    assert (attempt.request.model, bare.model, judge) == (
        "prm",
        "prm/reference",
        JudgeRequest("text", "4"),
    )
    try:
        scoring.send([1, 2, 3])
    except StopIteration as end:
        assert end.value.x == [Readout(()), Readout(()), 1, 2, 3]
    assert (scorer.of, scorer.meta) == ("value", {"name": "asks"})
