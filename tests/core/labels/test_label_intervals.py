"""Intervals of labels: cases by hand, coverage by simulation, and a reason where there is none."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import exp, log, sqrt
from typing import Any

import pytest
from labelling import one, trace

from stepkit.core import advantages
from stepkit.core import tree as trees
from stepkit.core.labels.label_registry import LABELS
from stepkit.core.stats import wilson
from stepkit.schema import Json


def shares(*counts: tuple[int, int]) -> dict[int, list[float | None]]:
    """Draws at state 0, 1, ..: k right of n."""
    return {state: [*[1.0] * k, *[0.0] * (n - k)] for state, (k, n) in enumerate(counts)}


def made(text: str, record: Json, **settings: Any) -> Json:
    return next(iter(one(record, text, **settings).values()))


COUNTS = ((3, 4), (2, 4), (1, 8))
V = [k / n for k, n in COUNTS]
DOWN = [k / n - wilson(k, n)[0] for k, n in COUNTS]
UP = [wilson(k, n)[1] - k / n for k, n in COUNTS]


def record(verdict: float = 0.0) -> Json:
    return trace(["a\n", "b\n", "c"], shares(*COUNTS), verdict)


def bounds(label: Json, step: int) -> tuple[float, float]:
    return label["low"][step], label["high"][step]


# ---- by hand --------------------------------------------------------------------------------


def test_progress_is_a_difference_and_its_last_one_has_one_width() -> None:
    label = made("progress", record())
    assert bounds(label, 0) == pytest.approx(
        (
            V[1] - V[0] - sqrt(DOWN[1] ** 2 + UP[0] ** 2),
            V[1] - V[0] + sqrt(UP[1] ** 2 + DOWN[0] ** 2),
        )
    )
    low, high = wilson(*COUNTS[2])
    assert bounds(label, 2) == pytest.approx(
        (-high, -low)
    )  # 0 less the value: the verdict is known
    assert label["meta"]["interval"] == "x: Newcombe 1998, method 10"
    pivotal = made("pivotal", record())
    assert (pivotal["low"], pivotal["high"]) == (label["low"], label["high"])
    assert pivotal["meta"]["interval"] == "change: Newcombe 1998, method 10"


def test_every_state_counts_once_in_an_advantage() -> None:
    """A_0 = (1 - l) V_1 + l (1 - l) V_2 + l^2 R - V_0, written out; not the sum of its deltas, in
    which V_1 and V_2 stand twice with other signs."""
    lam = 0.5
    label = made(f"gae:lambda={lam}", record(1.0))
    weights = [-1.0, 1 - lam, lam * (1 - lam)]
    value = sum(w * v for w, v in zip(weights, V, strict=True)) + lam**2
    assert label["x"][0] == pytest.approx(value)
    down = sqrt(UP[0] ** 2 + sum((w * d) ** 2 for w, d in zip(weights[1:], DOWN[1:], strict=True)))
    up = sqrt(DOWN[0] ** 2 + sum((w * d) ** 2 for w, d in zip(weights[1:], UP[1:], strict=True)))
    assert bounds(label, 0) == pytest.approx((value - down, value + up))
    sums = made("gae:lambda=1", record(1.0))
    assert bounds(sums, 0) == pytest.approx((1 - V[0] - UP[0], 1 - V[0] + DOWN[0]))
    returns = made("return:gamma=0.5,lambda=0", record())
    assert bounds(returns, 0) == pytest.approx((0.5 * (V[2] - DOWN[2]), 0.5 * (V[2] + UP[2])))
    assert (returns["root"]["low"], returns["root"]["high"]) == pytest.approx(
        (0.5 * (V[1] - DOWN[1]), 0.5 * (V[1] + UP[1]))
    )
    assert bounds(returns, 2) == (0.0, 0.0)  # the verdict


def test_an_advantage_needs_only_the_states_that_it_is_made_of() -> None:
    gap = trace(["a", "b", "c"], {0: [1, 0], 2: [1, 0, 0]}, 1.0)
    label = made("gae:lambda=1", gap)
    low, high = wilson(1, 2)
    assert bounds(label, 0) == pytest.approx((1 - high, 1 - low))
    assert bounds(label, 1) == (None, None) and label["x"][1] is None
    assert made("gae:lambda=0.5", gap)["low"][0] is None


def test_a_ratio_has_bounds_and_none_where_the_value_before_was_0() -> None:
    label = made("relative", trace(list("abc"), shares((5, 10), (0, 10), (3, 10)), 1.0))
    assert label["ratio"] == [0.0, None, pytest.approx(1 / 0.3)]
    low, high = wilson(3, 10)
    assert bounds(label, 2) == pytest.approx((1 / high, 1 / low))
    assert label["low"][0] == 0.0 < label["high"][0]
    assert bounds(label, 1) == (None, None)
    assert label["meta"]["interval"].startswith("ratio: MOVER-R")


def test_look_ahead_has_the_bounds_of_the_change_that_it_credits() -> None:
    flat = trace(list("abc"), shares((2, 4), (2, 4), (3, 4)), 1.0)
    label, progress = made("lookahead:gamma=0.5", flat), made("progress", flat)
    assert label["x"] == [0.125, 0.25, 0.25]
    assert bounds(label, 0) == pytest.approx([0.5 * end for end in bounds(progress, 1)])
    assert bounds(label, 1) == pytest.approx(bounds(progress, 1))
    none = made("lookahead:window=0", flat)
    assert none["x"][0] == 0.0 and bounds(none, 0) == pytest.approx(bounds(progress, 0))


def test_best_of_and_entropy_are_maps_of_the_rate() -> None:
    low, high = wilson(1, 8)
    best = made("best-of:k=2", record())
    assert bounds(best, 1) == pytest.approx((1 - (1 - low) ** 2, 1 - (1 - high) ** 2))
    assert bounds(best, 2) == (0.0, 0.0) and "low" in best["root"]
    entropy = made("entropy:eta=2", record())
    assert bounds(entropy, 1) == pytest.approx([log(1 - p + p * exp(2)) / 2 for p in (low, high)])
    leaning = made("entropy:eta=-2", record())
    assert leaning["low"][1] < leaning["x"][1] < leaning["high"][1]
    other = made("entropy", trace(["a", "b"], {1: [0.5, 1.0]}, 1.0))
    assert bounds(other, 0) == (None, None)  # k and n do not tell its outcomes


def test_one_sampler_is_one_estimate_in_the_effective_reward() -> None:
    """Q and V of the same draws move together: their distances add up, not their squares."""
    label = made("effective:k=1,alpha=0.5", record())
    value = 1.5 * V[1] - 0.5 * V[0]
    assert label["x"][0] == pytest.approx(value)
    assert bounds(label, 0) == pytest.approx(
        (
            value - sqrt((1.5 * DOWN[1]) ** 2 + (0.5 * UP[0]) ** 2),
            value + sqrt((1.5 * UP[1]) ** 2 + (0.5 * DOWN[0]) ** 2),
        )
    )
    two = record()
    by = trees.sampler_index(two["tree"], {"id": "weak"})
    for state, outcomes in shares(*COUNTS).items():
        for number, outcome in enumerate(outcomes):
            trees.add(
                two["tree"], state, "", whole=True, finish="stop", outcome=outcome, by=by,
                draw=number,
            )  # fmt: skip
    apart = made("effective:k=1,alpha=0.5,sampler=aa,prover=weak", two)
    assert apart["x"][0] == pytest.approx(value)
    down = DOWN[1] ** 2 + (0.5 * DOWN[1]) ** 2 + (0.5 * UP[0]) ** 2
    assert apart["low"][0] == pytest.approx(value - sqrt(down))


def test_an_effective_reward_that_turns_is_bounded_at_the_turn() -> None:
    """p - 2 (1 - (1 - p)^2) falls until p = 3/4 and then rises."""
    label = made("effective:k=2,alpha=-2", trace(["a", "b"], shares((4, 4), (3, 4)), 1.0))
    low, high = wilson(3, 4)
    assert low < 0.75 < high

    def curve(p: float) -> float:
        return p - 2 * (1 - (1 - p) ** 2)

    after = 0.75 - 2 * 1.0  # the best of any two of four, three of which are right, is right
    assert label["x"][0] == pytest.approx(after + 2 * 1.0)
    down = after - min(curve(0.75), after)
    before = 2 * (1 - (1 - (1 - wilson(4, 4)[0]) ** 2))
    assert label["low"][0] == pytest.approx(label["x"][0] - sqrt(down**2 + before**2))


def test_nodes_have_the_bounds_of_their_step() -> None:
    from stepkit.core import labels

    (found,) = labels.label_nodes([record()], labels.LabelSettings(labels.parse_all(["progress"])))
    assert isinstance(found, dict)
    own, nodes = made("progress", record()), found["progress"]
    assert nodes["low"][0] is None and nodes["low"][1:4] == own["low"]


# ---- why there is none ----------------------------------------------------------------------


def test_every_label_with_counts_has_an_interval_or_says_why_not() -> None:
    """Of all rows, under each backup, and after a rule that stopped the draws."""
    plain = trace(["a\n", "b\n", "c"], shares(*COUNTS), 0.0, split={"by": "lines"})
    plain["tree"]["visits"] = [4, 5, 5, 6]
    stopped = trace(["a\n", "b\n"], shares((1, 2), (1, 1)), 0.0, split={"by": "lines"})
    for state in range(2):
        stopped["tree"]["rule"][state] = "first-success:most=8"
    for row in LABELS:
        if row.name == "consensus":
            assert row.no_interval
            continue
        for evidence, text in [
            *((plain, f"{row.name}:backup={name}") for name in row.backups if name != "draws"),
            (plain, row.name),
            (stopped, row.name),
        ]:
            if "backup" in text and row.name == "effective":
                text += ",k=1"
            label = made(text, evidence)
            about = label["meta"].get("interval", "x: " if row.name == "value" else "")
            if about.startswith("none: "):
                assert len(about) > 8
                assert row.name == "value" or not {"low", "high"} & label.keys(), text
            else:
                assert about.partition(": ")[0] in ("x", "ratio", "change"), (text, about)
                assert len(label["low"]) == len(label["high"]) == len(label["x"])
            assert (row.no_interval != "") <= about.startswith("none: "), text


def test_a_reason_names_what_is_in_the_way() -> None:
    stopped = trace(list("abc"), shares((1, 2), (1, 1), (0, 8)), 0.0)
    for state in range(1, 3):
        stopped["tree"]["rule"][state] = "first-success:most=8"
    because = "draws were stopped by a rule that looked at them"
    assert made("progress", stopped)["meta"]["interval"] == f"none: {because}"
    assert "low" not in made("gae", stopped)
    value = made("value", stopped)
    assert value["meta"]["interval"] == f"x: Wilson 1927; none where {because}"
    assert value["root"]["low"] is not None and value["low"] == [None, None, 0.0]
    best = made("best-of:k=2", stopped)
    assert best["root"]["low"] is not None and best["low"][:2] == [None, None]
    pooled = trace(["a\n", "b"], shares((1, 2), (1, 2)), 0.0, split={"by": "lines"})
    about = made("progress:backup=pooled", pooled)["meta"]["interval"]
    assert about == "none: backup=pooled uses a draw at several states"
    assert made("value:backup=pooled", pooled)["low"][0] > 0
    leaves = made("gae:backup=leaves", pooled)["meta"]["interval"]
    assert leaves == "none: backup=leaves is no share of independent draws"
    beyond = made("progress", trace(["a", "b"], {0: [5, 3], 1: [2, 2]}, 1.0))
    assert beyond["meta"]["interval"] == "none: outcomes are no rate"
    nothing = made("progress", trace(["a", "b"], {}, 0.0))
    assert nothing["low"] == [None, None] and nothing["meta"]["interval"].startswith("x: ")


# ---- coverage -------------------------------------------------------------------------------

RUNS = 400
TRUE = (0.8, 0.7, 0.35, 0.3)


def best(p: float, k: int = 4) -> float:
    return 1 - (1 - p) ** k


def advantage(state: int) -> float:
    found = advantages.gae([*TRUE, 1.0], 0.9, 0.8)[state]
    assert found is not None
    return found


WANTED: dict[str, Callable[[int], float]] = {
    "progress": lambda t: TRUE[t + 1] - TRUE[t],
    "progress:k=4,as=best": lambda t: best(TRUE[t + 1]) - best(TRUE[t]),
    "gae:gamma=0.9,lambda=0.8": advantage,
    "return:gamma=0.9,lambda=0.8": lambda t: advantage(t + 1) + TRUE[t + 1],
    "effective": lambda t: TRUE[t + 1] + best(TRUE[t + 1]) - best(TRUE[t]),
    "relative": lambda t: TRUE[t + 1] / TRUE[t],
    "best-of": lambda t: best(TRUE[t + 1]),
    "entropy:eta=2": lambda t: log(1 - TRUE[t + 1] + TRUE[t + 1] * exp(2)) / 2,
}


def test_the_bounds_hold_the_truth_as_often_as_they_say() -> None:
    rng, n, steps = random.Random(11), 12, 3
    held: dict[str, list[list[bool]]] = {text: [[] for _ in range(steps)] for text in WANTED}
    for _ in range(RUNS):
        draws: dict[int, list[float | None]] = {
            state: [float(rng.random() < p) for _ in range(n)] for state, p in enumerate(TRUE)
        }
        found = one(trace(list("abcd"), draws, 1.0), *WANTED)
        for label, (text, truth) in zip(found.values(), WANTED.items(), strict=True):
            for step in range(steps):
                low, high = bounds(label, step)
                if low is not None:  # no ratio where nothing was right before
                    held[text][step].append(low - 1e-12 <= truth(step) <= high + 1e-12)
    for text, every in held.items():
        assert all(len(own) > 0.98 * RUNS for own in every), text
        covered = [sum(own) / len(own) for own in every]
        assert min(covered) > 0.95 - 4 * sqrt(0.95 * 0.05 / RUNS), (text, covered)
        assert 0.93 < sum(covered) / steps < 0.985, (text, covered)
