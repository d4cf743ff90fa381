"""The scheduler and the strategies, on an engine that draws from a known value curve."""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from journals import MemoryJournal
from simulated import Rule, RuleEngine, outcomes_at, run

from stepkit.errors import DataError, FailedError, StepkitError
from stepkit.io.jsonl import decode, encode
from stepkit.model.engine import Draw, FinishedDraw, Read, Readout, Request, Sampling
from stepkit.model.multi_engine import MultiEngine
from stepkit.model.profiles.token_layout import TokenLayout
from stepkit.model.recorded_engine import RecordedEngine, from_json, to_json
from stepkit.search.flagged_step import flagged_step
from stepkit.search.method_setup import MethodSetup
from stepkit.search.methods.chain import start
from stepkit.search.methods.sample import sample
from stepkit.search.scheduler import AttemptRequest, JudgedAnswer, JudgeRequest, Strategy
from stepkit.search.scorers import run_together
from stepkit.search.scorers.likelihood import LikelihoodScorer
from stepkit.search.scorers.token_logit import TokenLogitScorer


class NumberedSampler:
    """Prefixes are (t,) for the prefix before step t; keys say purpose, prefix and draw."""

    id = "s"
    identity: dict[str, Any] = {"id": "s", "name": "test"}  # noqa: RUF012
    prefixes = SimpleNamespace(
        at_cuts=lambda data, steps: [(t,) for t in range(len(steps) + 1)],
        ends=lambda ids: list(range(1, len(ids) + 1)),
    )

    def entry(self, _record: dict[str, Any]) -> dict[str, Any]:
        return self.identity

    def draw(self, prefix: tuple[int, ...], purpose: str, number: int, **_: Any) -> Draw:
        return Draw(f"{purpose} {prefix} {number}", prefix, number, Sampling())


SAMPLER: Any = NumberedSampler()


def sampled(prefix: int, given: str, answer: str | None, k: int) -> Strategy:
    return sample([SAMPLER.draw((prefix,), "attempt", n) for n in range(k)], given, answer)


def by_seed(chances: Sequence[float]) -> Rule:
    """A draw from prefix (t,) is right with chance ``chances[t]``, decided by its own seed."""

    def rule(request: Request) -> FinishedDraw:
        assert isinstance(request, Draw)
        lucky = random.Random(repr((request.prefix, request.seed))).random()
        right = lucky < chances[request.prefix[0]]
        return FinishedDraw(f"Answer: {42 if right else 7}", "stop", 4, (1, 2, 3, 4), -1.0)

    return rule


def test_results_come_in_the_order_asked() -> None:
    def rule(request: Request) -> FinishedDraw:
        assert isinstance(request, Draw)
        return FinishedDraw(f"Answer: {request.seed}", "stop", 1, (1,), 0.0)

    for seed in range(5):
        (drawn,) = run(RuleEngine(rule, seed), [sampled(0, "", "3", 9)])
        assert [attempt.final for attempt in drawn] == [str(number) for number in range(9)]
        assert [attempt.outcome for attempt in drawn] == [float(n == 3) for n in range(9)]


def test_a_strategy_may_ask_again() -> None:
    def twice() -> Generator[Any, Any, Any]:
        first = yield [AttemptRequest(SAMPLER.draw((0,), "value", n), "", "42") for n in range(3)]
        second = yield [AttemptRequest(SAMPLER.draw((1,), "value", n), "", "42") for n in range(2)]
        return len(first), len(second)

    assert run(RuleEngine(by_seed([0.5, 0.5])), [twice(), twice()]) == [(3, 2), (3, 2)]


def test_three_valued_outcomes() -> None:
    texts = {
        0: ("Answer: 42", "stop", 1.0),
        1: ("Answer: 7", "stop", 0.0),
        2: ("Answer: 42", "length", None),  # cut off: it might have gone on
        3: ("no answer at all", "stop", None),
        4: ("Answer: ?", "stop", None),  # this grader gives up on it
    }

    def rule(request: Request) -> FinishedDraw:
        assert isinstance(request, Draw)
        text, finish, _ = texts[request.seed]
        return FinishedDraw(text, finish, 1, None, 0.0)

    (drawn,) = run(RuleEngine(rule), [sampled(0, "", "42", 5)])
    assert [attempt.outcome for attempt in drawn] == [outcome for _, _, outcome in texts.values()]
    (drawn,) = run(RuleEngine(rule), [sampled(0, "", None, 2)])
    assert [attempt.outcome for attempt in drawn] == [None, None]


def test_the_answer_is_looked_for_in_prefix_and_draw_together() -> None:
    (drawn,) = run(
        RuleEngine(lambda _: FinishedDraw("2", "stop", 1, None, 0.0)),
        [sampled(0, "so\nAnswer: 4", "42", 1)],
    )
    assert drawn[0].final == "42" and drawn[0].outcome == 1.0


def test_judging_needs_no_draw() -> None:
    def strategy() -> Generator[Any, Any, Any]:
        return (yield [JudgeRequest("Answer: 42", "42"), JudgeRequest("nothing", "42")])

    engine = RuleEngine(by_seed([]))
    assert run(engine, [strategy()]) == [[JudgedAnswer("42", 1.0), JudgedAnswer(None, None)]]
    assert engine.seen == []


def test_an_error_is_its_problems_alone() -> None:
    def rule(request: Request) -> FinishedDraw | StepkitError:
        assert isinstance(request, Draw)
        if request.prefix == (9,):
            return DataError("too long")
        return by_seed([0.5])(request)  # type: ignore[return-value]

    def refuses() -> Generator[Any, Any, Any]:
        raise DataError("missing", "answer")
        yield []

    good, bad = sampled(0, "", "42", 4), sampled(9, "", "42", 4)
    results = run(RuleEngine(rule), [good, bad, refuses(), sampled(0, "", "42", 1)])
    assert [len(results[0]), len(results[3])] == [4, 1]
    assert str(results[1]) == "too long"
    assert str(results[2]) == 'field "answer": missing'


def test_a_failing_model_ends_the_run() -> None:
    engine = RuleEngine(lambda _: FailedError("no memory"))
    with pytest.raises(FailedError):
        run(engine, [sampled(0, "", "42", 4)])


STEPS = ["a\n", "b\n", "c\n"]


def grown(engine: Any, k: int, tree: Any = None, steps: Sequence[str] = STEPS) -> Any:
    """The tree of ``steps`` with k draws from each prefix; ``tree`` holds some of them."""
    data: dict[str, Any] = {"problem": "p", "answer": "42"}
    if steps:
        data |= {"response": "".join(steps), "steps": list(steps)}
    if tree is not None:
        data["tree"] = tree
    (fields,) = run(
        engine,
        [
            start(
                MethodSetup(SAMPLER, {"draws": k, "until": None, "budget": None, "skip": None}),
                data,
            )
        ],
    )
    return fields["tree"]


def test_chain_draws_from_every_prefix_but_the_last() -> None:
    chances = [0.5, 0.9, 0.1]
    tree = grown(RuleEngine(by_seed(chances)), 400)
    shares = [sum(outcomes_at(tree, node)) / 400 for node in range(3)]
    # four standard deviations of a mean of 400
    assert shares == pytest.approx(chances, abs=4 * 0.5 / 20)
    assert outcomes_at(tree, 3) == []
    assert tree["spine"] == [1, 2, 3] and tree["finish"][3] == "stop"


def test_chain_does_not_depend_on_the_order_of_arrival() -> None:
    trees = [grown(RuleEngine(by_seed([0.5, 0.5, 0.5]), seed), 5) for seed in range(4)]
    assert all(tree == trees[0] for tree in trees)


def test_top_up_draws_just_what_is_missing() -> None:
    rule = by_seed([0.5, 0.5, 0.5])
    small = grown(RuleEngine(rule), 3)
    engine = RuleEngine(rule)
    topped = grown(engine, 5, small)
    assert sorted(request.key for request in engine.seen) == sorted(
        f"value ({t},) {number}" for t in range(3) for number in (3, 4)
    )
    whole = grown(RuleEngine(rule), 5)
    for node in range(3):
        assert sorted(outcomes_at(topped, node)) == sorted(outcomes_at(whole, node))


def test_a_draw_that_ended_in_an_error_is_drawn_again() -> None:
    rule = by_seed([0.5, 0.5, 0.5])
    tree = grown(RuleEngine(rule), 2)
    broken = tree["draw"].index(1)
    tree["finish"][broken], tree["outcome"][broken] = "error", None
    engine = RuleEngine(rule)
    grown(engine, 2, tree)
    assert [request.key for request in engine.seen] == ["value (0,) 1"]


def test_chain_judges_the_trace_itself() -> None:
    steps = ["so ", "Answer: 42"]
    tree = grown(RuleEngine(by_seed([0.0, 0.0])), 1, steps=steps)
    assert (tree["outcome"][2], tree["final"][2]) == (1.0, "42")
    data: dict[str, Any] = {"problem": "p", "answer": "42", "response": "so Answer: 42"}
    data["steps"] = steps
    data["sample"] = {"finish": "length"}
    (fields,) = run(
        RuleEngine(by_seed([0.0, 0.0])),
        [
            start(
                MethodSetup(SAMPLER, {"draws": 1, "until": None, "budget": None, "skip": None}),
                data,
            )
        ],
    )
    assert (fields["tree"]["outcome"][2], fields["tree"]["finish"][2]) == (None, "length")
    assert fields["correct"] is None


def test_a_bare_problem_is_drawn_from_at_its_root() -> None:
    tree = grown(RuleEngine(by_seed([1.0])), 4, steps=[])
    assert outcomes_at(tree, 0) == [1.0] * 4 and tree["spine"] == []


def test_a_recorded_engine_is_answered_from_its_journal() -> None:
    rule, shelf = by_seed([0.5, 0.5, 0.5]), MemoryJournal()
    first = grown(RecordedEngine(RuleEngine(rule), shelf), 4)
    assert len(shelf) == 12
    silent = RuleEngine(lambda _: FailedError("asked again"))
    assert grown(RecordedEngine(silent, shelf), 4) == first


def test_equal_keys_are_sampled_once() -> None:
    engine = RuleEngine(by_seed([0.5]))
    twins = [sampled(0, "", "42", 3) for _ in range(4)]
    results = run(RecordedEngine(engine, MemoryJournal()), twins)
    assert len(engine.seen) == 3 and all(result == results[0] for result in results)


def test_errors_are_not_remembered() -> None:
    shelf = MemoryJournal()
    engine = RecordedEngine(RuleEngine(lambda _: DataError("too long")), shelf)
    run(engine, [sampled(0, "", "42", 2)])
    assert shelf == {}


@pytest.mark.parametrize(
    "result",
    [
        FinishedDraw("é\n", "stop", 2, (5, 6), -1.25),
        FinishedDraw("", "length", 0, None, 0.0),
        Readout(((1.5, -2.0), (0.0, 3.25))),
    ],
)
def test_results_survive_the_journal(result: Any) -> None:
    assert from_json(decode(encode(to_json(result)))) == result


def test_token_logit_scores_are_softmax_at_the_markers() -> None:
    import math

    reader: Any = SimpleNamespace(
        candidates=(10, 11),
        layout=lambda data, steps: TokenLayout((1, 2, 99, 3, 99), (2, 4)),
        score=lambda logits: 1 / (1 + math.exp(logits[1] - logits[0])),
        profile=SimpleNamespace(of="validity", mark=SimpleNamespace(attempt=False)),
    )
    seen: list[Request] = []

    def rule(request: Request) -> Readout:
        seen.append(request)
        return Readout(((math.log(3.0), 0.0), (0.0, 0.0)))

    scorer = TokenLogitScorer(reader, {})
    (scored,) = run(RuleEngine(rule), [scorer.score({"problem": "p"}, ["x", "y"])])
    assert scored.x == pytest.approx([0.75, 0.5]) and scored.total is None
    assert isinstance(seen[0], Read) and seen[0].positions == (2, 4)


def test_likelihood_averages_the_tokens_that_begin_in_a_step() -> None:
    # tokens of the response end at bytes 1, 3, 4: the second begins in step 0 and ends in step 1
    prefixes: Any = SimpleNamespace(
        ends=lambda ids: [1, 3, 4], prompt=lambda data: (1, 2), response=lambda data: (3, 4, 5)
    )
    rule = lambda _: Readout(((-1.0,), (-3.0,), (-5.0,)))  # noqa: E731
    scorer = LikelihoodScorer(prefixes, {}, keep_tokens=True)
    (scored,) = run(RuleEngine(rule), [scorer.score({"problem": "p"}, ["ab", "c", "d"])])
    assert scored.x == [-2.0, None, -5.0] and scored.total == -3.0
    assert scored.more == {"token_bytes": [1, 2, 1], "token_logprob": [-1.0, -3.0, -5.0]}


def test_generators_together_ask_at_once_and_get_their_own_answers() -> None:
    asked: list[int] = []

    def asking(*rounds: int) -> Any:
        got = []
        for count in rounds:
            got.append((yield [f"{rounds}"] * count))
        return got

    both = run_together([asking(1, 2), asking(), asking(3)])
    answers = None
    while True:
        try:
            asks = both.send(answers)  # type: ignore[arg-type]
        except StopIteration as end:
            first, none, third = end.value
            break
        asked.append(len(asks))
        answers = list(enumerate(asks))
    assert asked == [4, 2] and none == []
    assert first == [[(0, "(1, 2)")], [(0, "(1, 2)"), (1, "(1, 2)")]]
    assert third == [[(1, "(3,)"), (2, "(3,)"), (3, "(3,)")]]


def test_several_models_answer_what_names_them_and_equal_keys_apart() -> None:
    def rule(name: str) -> Rule:
        return lambda _: FinishedDraw(name, "stop", 1, (1,), 0.0)

    engine = MultiEngine({"": RuleEngine(rule("policy")), "prm": RuleEngine(rule("verifier"))})

    def strategy() -> Strategy:
        draws = [Draw("k", (1,), 0, Sampling(), model=name) for name in ("", "prm", "")]
        return [drawn.text for drawn in (yield draws)]

    shelf = MemoryJournal()
    (texts,) = run(RecordedEngine(engine, shelf), [strategy()])
    assert texts == ["policy", "verifier", "policy"] and len(shelf) == 2


def label(first: Any) -> dict[str, Any]:
    return {"response": "ab", "steps": ["a", "b"], "labels": {"first": {"first": first}}}


@pytest.mark.parametrize(("first", "step"), [(0, 0), (1, 1), (-1, None), (None, None)])
def test_where_a_refinement_starts(first: Any, step: int | None) -> None:
    assert flagged_step(label(first), "first") == step


@pytest.mark.parametrize("first", [2, True, "1"])
def test_a_first_error_outside_the_steps_is_refused(first: Any) -> None:
    with pytest.raises(DataError, match=r"labels\.first\.first"):
        flagged_step(label(first), "first")
