"""Rules that stop the drawing, through the methods: what is drawn and what is noted."""

from __future__ import annotations

import random
from math import sqrt
from typing import Any

import pytest
from simulated import Curve, Sampler, outcomes_at, run

from stepkit.core import stopping
from stepkit.core.tree import rule_at
from stepkit.search.method_registry import load_method
from stepkit.search.method_setup import MethodSetup
from stepkit.search.until_rules import parse_question

CHANCES = [0.7, 0.5, 0.2, 0.05, 0.0]
FIRST = {"name": "first-success"}


def states(tree: dict[str, Any]) -> list[tuple[list[Any], str]]:
    """Outcomes and rule at every prefix but the last."""
    nodes = [0, *tree["spine"][:-1]]
    return [(outcomes_at(tree, node), rule_at(tree, node, 0)) for node in nodes]


def counts(outcomes: list[Any]) -> tuple[int, int]:
    decided = [outcome for outcome in outcomes if outcome is not None]
    return sum(map(int, decided)), len(decided)


@pytest.mark.parametrize("text", ["first-success", "hard:value=0.2,error=0.1", "wilson:half=0.2",
                                  "drop:root=12"])  # fmt: skip
@pytest.mark.parametrize("undecided", [0.0, 0.3])
def test_every_prefix_ends_where_its_rule_stops(text: str, undecided: float) -> None:
    for seed in range(8):
        fields, _ = Curve(CHANCES, undecided).searched(
            "chain", seed, until=parse_question(text), draws=16
        )
        for outcomes, rule in states(fields["tree"]):
            if not rule:
                assert text.startswith("drop") and counts(outcomes)[1] == 12  # the root
                continue
            stops, k, n = stopping.stop_condition(rule), 0, 0
            for outcome in outcomes[:-1]:
                k, n = k + (outcome == 1), n + (outcome is not None)
                assert n == 0 or "asked" in rule or not stops(k, n)
            assert stops(*counts(outcomes)), (rule, outcomes)


def test_results_in_another_order_of_arrival_change_nothing() -> None:
    """Short successes arrive first; a rule that looked at them would be biased."""
    curve = Curve(CHANCES)
    options = {"draws": 8, "until": FIRST, "budget": None, "skip": None}
    setup: Any = MethodSetup(Sampler(curve.prefixes), options)  # type: ignore[arg-type]
    found = []
    for order in range(5):
        strategies = [load_method("chain")(setup, curve.record()) for _ in range(3)]
        found.append(run(curve.engine(order), strategies))
    assert all(fields == found[0] for fields in found)


def test_first_success_costs_what_theory_says_through_the_scheduler() -> None:
    runs, most = 1500, 8
    curve = Curve([0.3, 0.1])
    spent = [0, 0]
    for seed in range(runs):
        fields, engine = curve.searched("chain", seed, until=FIRST, draws=most)
        for place, (outcomes, _) in enumerate(states(fields["tree"])):
            spent[place] += len(outcomes)
        assert len(engine.seen) == sum(len(outcomes) for outcomes, _ in states(fields["tree"]))
    for place, rate in enumerate(curve.chances):
        theory = (1 - (1 - rate) ** most) / rate
        assert abs(spent[place] / runs - theory) <= 0.1 * theory


def test_a_hard_label_misses_a_small_value_as_often_as_stated() -> None:
    runs, missed = 1500, 0
    for seed in range(runs):
        fields, _ = Curve([0.1]).searched("chain", seed, until=parse_question("hard"))
        missed += 1 not in outcomes_at(fields["tree"], 0)
    assert missed / runs <= 0.05 + 4 * sqrt(0.05 * 0.95 / runs)


def test_a_drop_is_called_with_the_error_rate_whatever_the_roots_draws_were() -> None:
    """It took the root's share of right draws for its value, so that a root whose draws were good
    or bad by chance made every prefix seem lost or alive."""
    wrong, runs = [0, 0], 200
    for seed in range(runs):
        fields, _ = Curve([0.5, 0.5 * 0.5 * 2**0.5, 0.5 * 0.5 / 2**0.5]).searched(
            "chain", seed, until=parse_question("drop:root=16"), draws=64
        )
        _, high, low = (
            stopping.is_lost(rule, *counts(outcomes)) if rule else None
            for outcomes, rule in states(fields["tree"])
        )
        wrong[0] += high is True
        wrong[1] += low is False
    bound = 0.05 + 4 * sqrt(0.05 * 0.95 / runs)
    assert max(wrong) / runs <= bound


def test_a_drop_to_nearly_the_roots_rate_is_not_called_where_all_is_right() -> None:
    """The lower of the rates that are tested was above the upper one."""
    until = parse_question("drop:rho=0.99,ratio=1.01,error=0.5,root=4")
    fields, _ = Curve([1.0, 1.0, 1.0]).searched("chain", until=until, draws=200)
    for outcomes, rule in states(fields["tree"])[1:]:
        given = stopping.parse_rule(rule)[1]
        assert given["low"] < given["high"] < 1
        assert stopping.is_lost(rule, *counts(outcomes)) is False


def test_where_the_root_is_never_right_nothing_is_called_lost() -> None:
    """It asked for any success then, and called a prefix lost that had none, as the root had."""
    fields, _ = Curve([0.0, 0.0, 1.0]).searched(
        "chain", until=parse_question("drop:root=4"), draws=6
    )
    (root, rule), (never, lost), (always, alive) = states(fields["tree"])
    assert (root, rule) == ([0.0] * 4, "")
    assert len(never) == 6 and stopping.is_lost(lost, 0, 6) is None
    assert stopping.is_lost(alive, *counts(always)) is False and len(always) < 6


def test_the_sign_of_progress_is_wrong_as_rarely_as_stated() -> None:
    up = down = 0
    runs = 400
    for seed in range(runs):
        fields, _ = Curve([0.5, 0.8, 0.3]).searched(
            "chain", seed, until=parse_question("progress:odds=2,error=0.05"), draws=500
        )
        rules = [fields["tree"]["rule"][node] for node in fields["tree"]["spine"][:-1]]
        assert all(rule.startswith("progress:odds=2,error=0.05,most=500 -> ") for rule in rules)
        up += rules[0].endswith("down")  # 0.5 -> 0.8 are odds of 4
        down += rules[1].endswith("up")
    bound = (0.05 + 4 * sqrt(0.05 * 0.95 / runs)) * runs
    assert up <= bound and down <= bound


def test_progress_stays_open_between_equal_prefixes() -> None:
    fields, _ = Curve([0.0, 0.0]).searched("chain", until=parse_question("progress"), draws=10)
    tree = fields["tree"]
    assert tree["rule"][tree["spine"][0]].endswith("open")
    assert [len(outcomes) for outcomes, _ in states(tree)] == [10, 10]


def test_a_larger_limit_draws_on_where_the_rule_stopped() -> None:
    for seed in range(10):
        curve = Curve(CHANCES)
        small, _ = curve.searched("chain", seed, until=FIRST, draws=4)
        topped, engine = curve.searched("chain", seed, tree=small["tree"], until=FIRST, draws=12)
        whole, every = curve.searched("chain", seed, until=FIRST, draws=12)
        held = sum(len(outcomes) for outcomes, _ in states(small["tree"]))
        assert len(engine.seen) == len(every.seen) - held
        for (a, rule), (b, full) in zip(states(topped["tree"]), states(whole["tree"]), strict=True):
            assert a == b
            assert rule == full or (1 in a and rule == "first-success:most=4")


def test_draws_of_a_fixed_number_are_counted_by_the_rule_that_goes_on() -> None:
    for seed in range(10):
        curve = Curve([0.5, 0.02])
        fixed, _ = curve.searched("chain", seed, draws=4, until=None)
        fields, _ = curve.searched("chain", seed, tree=fixed["tree"], until=FIRST, draws=8)
        for outcomes, rule in states(fields["tree"]):
            if 1 in outcomes[:4]:
                assert (len(outcomes), rule) == (4, "")
            else:
                assert rule == "first-success:most=8,least=4"
                assert stopping.stop_condition(rule)(*counts(outcomes))


def test_another_rule_over_a_rules_draws_is_called_mixed() -> None:
    fields, _ = Curve([0.0]).searched("chain", until=FIRST, draws=4)
    mixed, _ = Curve([0.0]).searched(
        "chain", tree=fields["tree"], until=parse_question("wilson:half=0.15"), draws=40
    )
    assert states(mixed["tree"])[0][1] == "mixed"


def test_a_fixed_number_takes_the_rule_away() -> None:
    fields, _ = Curve([0.4]).searched("chain", until=FIRST, draws=4)
    more, _ = Curve([0.4]).searched("chain", tree=fields["tree"], draws=9, until=None)
    ((outcomes, rule),) = states(more["tree"])
    assert (len(outcomes), rule) == (9, "")


def test_undecided_draws_are_made_up_for_but_not_for_ever() -> None:
    fields, engine = Curve([0.0], undecided=1.0).searched("chain", until=FIRST, draws=5)
    ((outcomes, rule),) = states(fields["tree"])
    assert (outcomes, rule) == ([None] * 10, "") and len(engine.seen) == 10
    for seed in range(20):
        fields, _ = Curve([0.0], undecided=0.7).searched("chain", seed, until=FIRST, draws=5)
        ((outcomes, rule),) = states(fields["tree"])
        k, n = counts(outcomes)
        assert (k, n == 5) == (0, rule == "first-success:most=5")
        assert len(outcomes) <= 10 and (n == 5 or rule in ("", f"first-success:most={n},asked=5"))


def test_seeds_of_other_samplers_have_rules_of_their_own() -> None:
    curve = Curve([0.3, 0.3])
    data = curve.record()
    for name, most in (("a", 3), ("b", 5)):
        options = {"draws": most, "until": FIRST, "budget": None, "skip": None}
        setup: Any = MethodSetup(Sampler(curve.prefixes, name=name), options)  # type: ignore[arg-type]
        (fields,) = run(curve.engine(), [load_method("chain")(setup, data)])
        data = curve.record(fields["tree"])
    tree = data["tree"]
    assert [sampler["id"] for sampler in tree["samplers"]] == ["a", "b"]
    assert rule_at(tree, 0, 0) == "first-success:most=3"
    assert rule_at(tree, 0, 1) == "first-success:most=5"


def test_a_search_does_not_depend_on_what_else_is_random() -> None:
    random.seed(1)
    one, _ = Curve(CHANCES).searched("chain", 3, until=FIRST)
    random.seed(2)
    two, _ = Curve(CHANCES).searched("chain", 3, until=FIRST)
    assert one == two


def test_a_trace_of_very_many_steps_is_no_deep_recursion() -> None:
    curve = Curve([1.0] * 3000)
    fields, engine = curve.searched("bisect", draws=2)
    assert len(engine.seen) < 40 and len(fields["tree"]["spine"]) == 3000
