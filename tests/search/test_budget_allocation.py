"""A budget for the whole run: kept exactly, spent where it tells most, the same every time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from simulated import Curve, ExactGrader, Listed, RuleEngine, Sampler, outcomes_at, run
from work import ROOT, Workdir

from stepkit.core import labels, stopping
from stepkit.core.tree import rule_at
from stepkit.search.budget_allocation import (
    LEAST,
    DrawAllocator,
    RunBudget,
    allocator,
    gvm_weight,
    variance_reduction,
)
from stepkit.search.method_registry import METHODS, load_method
from stepkit.search.method_setup import MethodSetup
from stepkit.search.scheduler import BudgetRequest, Scheduler
from stepkit.search.until_rules import parse_question


def shared(
    method: str,
    worlds: Sequence[Curve],
    budget: RunBudget,
    seed: int = 0,
    arrival: int = 0,
    k: int = 64,
    until: str | None = None,
    trees: Sequence[Any] | None = None,
) -> tuple[list[Any], RuleEngine]:
    """The results of all worlds under one budget, and the engine."""
    allot = allocator(METHODS[method].writes, vars(budget), lambda: 0.0)
    many = Many(worlds)
    setup = MethodSetup(
        Sampler(many, seed),  # type: ignore[arg-type]
        {**METHODS[method].options, "draws": k, "budget": {}}
        | ({} if until is None else {"until": parse_question(until)}),
    )
    engine = RuleEngine(many.rule, arrival)
    kept = trees or [None] * len(worlds)
    records = [
        world.record(tree) | {"problem": str(n)}
        for n, (world, tree) in enumerate(zip(worlds, kept, strict=True))
    ]
    scheduler: Scheduler[int] = Scheduler(engine, ExactGrader(), allot)
    supply = Listed(load_method(method)(setup, record) for record in records)
    results = dict(scheduler.run(supply))
    return [results[n] for n in range(len(worlds))], engine


class Many:
    """Prefixes of several worlds: (number of the world, number of the state)."""

    def __init__(self, worlds: Sequence[Curve]) -> None:
        self._worlds = worlds

    def prompt(self, data: Any) -> tuple[int, ...]:
        return (int(data["problem"]), 0)

    def at_cuts(self, data: Any, steps: Sequence[str]) -> list[tuple[int, ...]]:
        return [(int(data["problem"]), t) for t in range(len(steps) + 1)]

    def ends(self, ids: Sequence[int]) -> list[int]:
        return []

    def rule(self, request: Any) -> Any:
        from dataclasses import replace

        world = self._worlds[request.prefix[0]]
        return world.rule(replace(request, prefix=request.prefix[1:]))


CURVES = [Curve([0.5, 0.5, 0.0, 0.0]), Curve([1.0, 1.0, 1.0]), Curve([0.3, 0.9])]


@pytest.mark.parametrize("draws", [1, 5, 18, 19, 100, 301])
def test_a_budget_in_draws_is_kept_exactly(draws: int) -> None:
    for method in ("chain", "sample"):
        _, engine = shared(method, CURVES, RunBudget(draws=draws))
        places = 9 if method == "chain" else 3
        assert len(engine.seen) == min(draws, 64 * places) or method == "sample"
        assert len(engine.seen) <= draws


def test_a_budget_in_tokens_is_hardly_passed() -> None:
    """A draw has 10 tokens here; the round that is under way ends."""
    for tokens in (15, 200, 1005, 3000):
        _, engine = shared("chain", CURVES, RunBudget(tokens=tokens))
        assert tokens <= 10 * len(engine.seen) < tokens + 10 * 64
        if tokens > 640:
            assert 10 * len(engine.seen) < tokens + 20


def test_seconds_end_it() -> None:
    times = iter([0.0, 1.0, 2.0, 9.0])
    allot = DrawAllocator(RunBudget(seconds=5), variance_reduction, 2, lambda: next(times))
    turn = BudgetRequest(0, [(0, 0)], [0], [100], (0, 0))
    assert [allot([turn])[0] is None for _ in range(4)] == [False, False, False, True]


def test_every_prefix_gets_a_few_and_the_uncertain_ones_most() -> None:
    fields, _ = shared("chain", CURVES, RunBudget(draws=200))
    drawn: dict[float, list[int]] = {}
    for world, result in zip(CURVES, fields, strict=True):
        tree = result["tree"]
        for chance, node in zip(world.chances, [0, *tree["spine"]], strict=False):
            drawn.setdefault(chance, []).append(len(outcomes_at(tree, node)))
            assert len(outcomes_at(tree, node)) >= LEAST["tree"]
    average = {chance: sum(own) / len(own) for chance, own in drawn.items()}
    assert min(average[0.5], average[0.3]) > 1.5 * max(average[0.0], average[1.0])


def test_the_sum_of_variances_is_smaller_than_with_equal_shares() -> None:
    """Neyman's allocation minimises it; the draws went where p(1 - p)/n was large."""
    adaptive = equal = 0.0
    for seed in range(20):
        fields, engine = shared("chain", CURVES, RunBudget(draws=270), seed)
        places = sum(len(world.chances) for world in CURVES)
        for world, result in zip(CURVES, fields, strict=True):
            tree = result["tree"]
            for chance, node in zip(world.chances, [0, *tree["spine"]], strict=False):
                variance = chance * (1 - chance)
                adaptive += variance / len(outcomes_at(tree, node))
                equal += variance / (len(engine.seen) / places)
    assert adaptive < 0.8 * equal


def test_attempts_go_in_the_proportions_of_gvm() -> None:
    rates, counts = (1.0, 0.25, 0.0625, 0.0), [16, 16, 16, 16]
    allot = DrawAllocator(RunBudget(), gvm_weight, 8, lambda: 0.0)
    while sum(counts) < 1200:
        now = [(round(rate * n), n) for rate, n in zip(rates, counts, strict=True)]
        (more,) = allot([BudgetRequest(0, now, counts, [999] * 4, (0, 0))])
        assert more is not None
        counts = [n + m for n, m in zip(counts, more, strict=True)]
    weights = [1 / sqrt(p + 1e-3 / p) for p in rates if p]
    total = sum(counts[:3])
    assert counts[3] == 16
    for n, weight in zip(counts, weights, strict=False):
        assert n == pytest.approx(total * weight / sum(weights), rel=0.05)


def test_a_problem_that_is_never_right_gets_the_first_few_attempts_only() -> None:
    (sure, never), engine = shared("sample", [Curve([1.0]), Curve([0.0])], RunBudget(draws=60))
    assert (len(sure), len(never)) == (52, LEAST["attempts"]) and len(engine.seen) == 60


def test_the_order_of_arrival_changes_nothing() -> None:
    for method in ("chain", "sample"):
        runs = [shared(method, CURVES, RunBudget(draws=120), arrival=n)[0] for n in range(3)]
        assert runs[0] == runs[1] == runs[2]


def test_what_went_by_what_was_seen_is_noted_and_no_rule_of_counts() -> None:
    fields, _ = shared("chain", CURVES, RunBudget(draws=60))
    rule = rule_at(fields[0]["tree"], 0, 0)
    assert rule.startswith("allocated:")
    with pytest.raises(ValueError, match="rule"):
        stopping.stop_condition(rule)


def test_a_record_that_fails_does_not_hold_the_others() -> None:
    worlds = [*CURVES]
    many = Many(worlds)
    setup = MethodSetup(
        Sampler(many),  # type: ignore[arg-type]
        {**METHODS["chain"].options, "draws": 8, "budget": {}},
    )
    records: list[dict[str, Any]] = [w.record() | {"problem": str(n)} for n, w in enumerate(worlds)]
    del records[1]["answer"]
    allot = DrawAllocator(RunBudget(draws=30), variance_reduction, 2, lambda: 0.0)
    engine = RuleEngine(many.rule)
    scheduler: Scheduler[int] = Scheduler(engine, ExactGrader(), allot)
    results = dict(scheduler.run(Listed(load_method("chain")(setup, record) for record in records)))
    assert isinstance(results[1], Exception) and len(engine.seen) == 30
    assert {0, 2} <= {n for n, result in results.items() if isinstance(result, dict)}


@examples(100)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 5)), max_size=4),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 80),
)
def test_allotments_fit(places: list[list[tuple[int, int, int]]], draws: int) -> None:
    turns = [
        BudgetRequest(
            who,
            [(min(k, n), n) for k, n, _ in own],
            [n for _, n, _ in own],
            [room for *_, room in own],
            (0, 0),
        )
        for who, own in enumerate(places)
    ]
    answers = DrawAllocator(RunBudget(draws=draws), variance_reduction, 2, lambda: 0.0)(turns)
    given = 0
    for turn, answer in zip(turns, answers, strict=True):
        for more, room in zip(answer or [], turn.room, strict=False):
            assert 0 <= more <= room
            given += more
    rooms = sum(sum(turn.room) for turn in turns)
    assert given == min(draws, 64, rooms)


# ---- with stop rules ------------------------------------------------------------------------

RULES = ("first-success", "hard:value=0.2,error=0.1", "wilson:half=0.2", "drop:root=12", "progress")


def drawn(fields: Sequence[Any]) -> list[list[tuple[list[Any], str]]]:
    """Outcomes and rule at every prefix of every trace."""
    return [
        [
            (outcomes_at(one["tree"], node), rule_at(one["tree"], node, 0))
            for node in [0, *one["tree"]["spine"][:-1]]
        ]
        for one in fields
    ]


@pytest.mark.parametrize("until", RULES)
@pytest.mark.parametrize("limit", [RunBudget(tokens=200), RunBudget(draws=25)])
def test_a_rule_stops_before_the_budget_or_the_budget_cuts_it(until: str, limit: RunBudget) -> None:
    """The two excluded each other. What is drawn under both is how the unlimited run begins."""
    whole, every = shared("chain", CURVES, RunBudget(), seed=3, k=24, until=until)
    fields, engine = shared("chain", CURVES, limit, seed=3, k=24, until=until)
    assert len(engine.seen) < len(every.seen)
    assert 10 * len(engine.seen) <= 300 + 10 * 64 and len(engine.seen) <= limit.draws
    open_ones = 0
    for cut, full in zip(drawn(fields), drawn(whole), strict=True):
        for (outcomes, rule), (others, _) in zip(cut, full, strict=True):
            assert outcomes == others[: len(outcomes)]
            if not rule or rule.startswith(("allocated", "progress")):
                continue
            assert rule.endswith(",budget=1"), rule
            stops = stopping.stop_condition(rule)
            decided = [outcome for outcome in outcomes if outcome is not None]
            for n in range(1, len(decided)):
                assert not stops(int(sum(decided[:n])), n)  # no draw after the stop
            done = len(outcomes) == len(others)
            open_ones += not done
            assert done or "asked=" in rule
    assert open_ones or until in ("progress", "drop:root=12")


def test_a_budget_in_draws_is_kept_exactly_under_rules() -> None:
    """Also where traces end by their rules, whose last draws no further request reports."""
    for until in RULES:
        for draws in (1, 7, 25):
            _, engine = shared("chain", CURVES, RunBudget(draws=draws), k=24, until=until)
            assert len(engine.seen) == draws, until


@pytest.mark.parametrize("until", ["first-success", "wilson:half=0.2", "drop:root=12"])
def test_a_budget_that_is_never_spent_changes_no_draw(until: str) -> None:
    fields, _ = shared("chain", CURVES[:1], RunBudget(), k=24, until=until)
    many, unlimited = Many(CURVES[:1]), {"draws": 24, "until": parse_question(until)}
    setup = MethodSetup(
        Sampler(many, 0),  # type: ignore[arg-type]
        {**METHODS["chain"].options, **unlimited},
    )
    record = CURVES[0].record() | {"problem": "0"}
    (alone,) = run(RuleEngine(many.rule), [load_method("chain")(setup, record)])
    for (own, rule), (other, plain) in zip(drawn(fields)[0], drawn([alone])[0], strict=True):
        assert own == other
        assert rule == (f"{plain},budget=1" if plain else rule) and (plain or "allocated" in rule)


def test_the_order_of_arrival_changes_nothing_under_rules() -> None:
    for until in ("first-success", "drop:root=8", "posterior"):
        runs = [
            shared("chain", CURVES, RunBudget(tokens=400), arrival=n, k=16, until=until)[0]
            for n in range(3)
        ]
        assert runs[0] == runs[1] == runs[2]


def labelled(curve: Curve, fields: Any, *names: str, **settings: Any) -> Any:
    record = curve.record(fields["tree"]) | {"correct": False}
    requests = labels.parse_all(names)
    (found,) = labels.label([record], labels.LabelSettings(requests, **settings))
    return found


def test_what_the_budget_cut_is_undecided_and_decisions_stay() -> None:
    curve = Curve([1.0, 1.0, 0.0, 0.0, 0.0])
    (fields,), _ = shared("chain", [curve], RunBudget(draws=9), k=16, until="first-success")
    tree = fields["tree"]
    assert any(rule.endswith("-> cut by the budget") for rule in tree["rule"])
    tested = labelled(curve, fields, "hard", first=labels.parse_first_error("tested"))
    assert tested["first"]["first"] is None and tested["first"]["meta"]["cut"] == 3
    refused = str(labelled(curve, fields, "value"))
    assert "a budget granted the draws under" in refused and "use --label hard" in refused
    (more,), _ = shared("chain", [curve], RunBudget(draws=90), k=16, until="first-success")
    found = labelled(curve, more, "hard", first=labels.parse_first_error("tested"))
    assert found["first"]["first"] == 1 and "cut" not in found["first"]["meta"]
    # it did not bind here, but whether it would have was decided by the draws
    assert "a budget granted" in str(labelled(curve, more, "value"))


def test_a_run_without_the_budget_draws_on_and_has_values_again() -> None:
    curve = Curve([0.8, 0.5, 0.1, 0.0])
    (fields,), _ = shared("chain", [curve], RunBudget(draws=9), k=8, until="first-success")
    done, _ = curve.searched(
        "chain", 0, tree=fields["tree"], until={"name": "first-success"}, draws=8
    )
    rules = [rule for _, rule in drawn([done])[0]]
    assert all(rule == "first-success:most=8" for rule in rules)
    assert labelled(curve, done, "value")["value"]["root"]["x"] in (0.0, 1.0)


def test_corrected_values_would_be_biased_where_a_budget_ends_the_run() -> None:
    """Why they are refused: of the prefixes that came to their stop before the budget was spent,
    too many did so by an early success."""
    total, places = 0.0, 0
    for seed in range(60):
        fields, _ = shared(
            "chain", [Curve([0.25])] * 6, RunBudget(draws=8), seed, k=12, until="first-success"
        )
        for own in drawn(fields):
            for outcomes, rule in own:
                if outcomes and "asked=" not in rule:
                    total += outcomes[0]  # the unbiased estimate of a complete run
                    places += 1
    mean = total / places
    assert mean > 0.25 + 4 * sqrt(0.25 * 0.75 / places)


def test_gains_are_those_of_their_sources() -> None:
    assert variance_reduction(5, 8) == pytest.approx((6 / 10) * (4 / 10) / (8 * 9))
    assert gvm_weight(0, 4) == 0
    assert gvm_weight(2, 8) == pytest.approx(1 / sqrt(0.25 + 1e-3 / 0.25) / 8)


POLICY = ("-m", str(ROOT / "samples" / "models" / "policy.gguf"), "-t", "1", "--max-tokens", "96")


def test_the_command_keeps_it_says_so_and_resumes(work: Workdir) -> None:
    problems = (ROOT / "samples" / "problems.jsonl").read_text().splitlines(keepends=True)[:6]
    work.write("p.jsonl", "".join(problems))
    args = ("p.jsonl", *POLICY, "--method", "sample", "-k", "20", "--budget", "draws=40")
    done = work.run("step-rollout", *args, stdin=None, input=None)
    assert done.status == 0 and "read before the first draw" in done.err, done.err
    traces = [json.loads(line) for line in done.lines]
    assert len(traces) == 40
    groups = [trace["group"] for trace in traces]
    assert groups == sorted(groups, key=lambda group: int(group[1:]))
    again = work.run("step-rollout", *args, "-o", "a.jsonl", "-q", stdin=None, input=None)
    assert again.status == 0 and work.read("a.jsonl") == done.out


@pytest.mark.parametrize("limits", ["draws=0", "draws", "steps=4", "draws=x", ""])
def test_what_is_no_budget_is_refused(work: Workdir, limits: str) -> None:
    done = work.run("step-rollout", *POLICY, "--budget", limits, input="")
    assert done.status == 2 and "--budget" in done.err and done.err.count("\n") == 1


def test_the_command_takes_a_rule_and_a_budget(work: Workdir) -> None:
    lines = (ROOT / "samples" / "traces.jsonl").read_text().splitlines(keepends=True)[:2]
    traces = work.run("step-split", input="".join(lines)).out
    rules = ("--until", "first-success", "-k", "8", "--budget", "tokens=60")
    done = work.run("step-rollout", *POLICY, *rules, "-q", input=traces)
    assert (done.status, done.err) == (0, ""), done.err
    kept = [rule for line in done.lines for rule in json.loads(line)["tree"]["rule"] if rule]
    assert kept and all(rule.startswith("first-success:") and "budget=1" in rule for rule in kept)
    assert (
        work.run("step-label", "--label", "hard", "--first", "tested", input=done.out).status == 0
    )
    refused = work.run("step-label", input=done.out)
    assert (
        refused.status == 3 and refused.err.count("\n") == 1 and "a budget granted" in refused.err
    )
