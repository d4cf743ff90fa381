"""The order of siblings by what their counts say: by hand, and by simulation with known values."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairing import add, grown, make, only, sibling_set, step, texts, trace

from stepkit.core.pairs.sibling_ranks import RANKINGS, Rank, rank
from stepkit.core.stats import wilson


def test_one_right_draw_of_one_does_not_beat_four_of_six() -> None:
    """The pair that taught "14 + 4 = 21": its one draw came out right by luck."""
    record = sibling_set(("14 + 4 = 18", 4, 6), ("14 + 4 = 21", 1, 1))
    assert texts(make(record, scope="step", rank="share").rows) == [("14 + 4 = 21", "14 + 4 = 18")]
    found = make(record, scope="step")
    assert found.rows == [] and found.dropped["not clearly better"] == 1
    for rule in ("all", "best-rest", "adjacent", "tree-plv", "mcts-dpo", "top-bottom"):
        assert make(record, rule, scope="step").rows == []


def test_chosen_ranks_by_the_lower_end_and_rejected_by_the_upper_one() -> None:
    record = sibling_set(("A", 1, 1), ("B", 7, 8), ("C", 1, 8), ("D", 0, 1))
    assert texts(make(record, scope="step").rows) == [("B", "C")]
    assert texts(make(record, scope="step", rank="share").rows) == [("A", "D")]
    row = only(record, scope="step")
    assert row.lead == pytest.approx(wilson(7, 8)[0] - wilson(1, 8)[1])
    assert (row.chosen.value, row.rejected.value, row.gap) == (7 / 8, 1 / 8, 6 / 8)


def test_the_posterior_mean_by_hand() -> None:
    # (1 + 1) / 3, (7 + 1) / 10, (1 + 1) / 10, (0 + 1) / 3
    record = sibling_set(("A", 1, 1), ("B", 7, 8), ("C", 1, 8), ("D", 0, 1))
    row = only(record, scope="step", rank="mean")
    assert (row.chosen.text, row.rejected.text) == ("B", "C")
    assert row.lead == pytest.approx(0.8 - 0.2)
    # 3 of 4 has the higher mean, 2/3, 1 of 1 the same: no order between them
    even = sibling_set(("A", 3, 4), ("B", 1, 1))
    assert make(even, scope="step", rank="mean").dropped["not clearly better"] == 1


def test_a_pair_in_order_by_its_rank_alone_is_none() -> None:
    """7 of 8 has a higher mean than 2 of 2, whose share is higher: the counts leave it open."""
    found = make(sibling_set(("A", 7, 8), ("B", 2, 2)), scope="step", rank="mean")
    assert found.rows == [] and found.dropped["not clearly better"] == 1


def test_the_widest_pairs_are_those_that_rank_farthest_apart() -> None:
    record = sibling_set(("A", 1, 1), ("B", 16, 16), ("C", 0, 16), ("D", 0, 1))
    assert texts(make(record, "all", scope="step", per_set=1).rows) == [("B", "C")]
    by_share = make(record, "all", scope="step", per_set=4, rank="share").rows
    assert len(by_share) == 4 and {row.gap for row in by_share} == {1.0}


def test_a_verdict_is_no_draw_of_one() -> None:
    """A step that ended the attempt has a value that is known: right is above 4 of 6."""
    record = sibling_set(("A", 4, 6), ("B", 1, 6))
    step(record, 0, "right", 7, 1.0)
    step(record, 0, "wrong", 8, 0.0)
    assert texts(make(record, scope="step").rows) == [("right", "wrong")]
    again = trace({0: [("a2", 1.0), ("a3", 0.0)]}, 0.0, steps=["a1"])  # draws of one step, too
    add(again, 0, "a2", 1.0, draw=2)
    row = only(again, scope="step")
    assert row.chosen[:3] == ("a2", 2, 2) and row.lead == 1.0


def test_scores_rank_by_themselves() -> None:
    record = sibling_set(("A", 0, 0), ("B", 0, 0))
    record["tree"]["scores"] = {"logprob": {"x": [None, -3.0, -0.5]}}
    for name in RANKINGS:
        row = only(record, scope="step", value="logprob", rank=name)
        assert texts([row]) == [("B", "A")] and row.lead == row.gap == 2.5


def test_visits_rank_by_the_draws_that_were_visited() -> None:
    """28 visits of 4 ends are 4 draws: the value is that of the visits, as wide as 4 draws are."""
    record = grown()
    a, b = step(record, 0, "A\n", 0), step(record, 0, "B\n", 1)
    good = [step(record, a, f"a{draw}", draw, float(draw < 3)) for draw in range(4)]
    bad = [step(record, b, f"b{draw}", draw, 0.0) for draw in range(4)]
    record["tree"]["visits"] = [*good, *good[:3] * 8, *bad]
    row = make(record, "mcts-dpo", value="visits").rows[0]
    assert (row.chosen.k, row.chosen.n, row.chosen.value) == (3, 4, 27 / 28)
    assert row.lead == pytest.approx(wilson(4 * 27 / 28, 4)[0] - wilson(0, 4)[1])
    # Beta(4, 2) above Beta(1, 5): 1 - E[(1 - x)^5] = 1 - B(4, 7) / B(4, 2)
    assert row.probability == pytest.approx(41 / 42)


@given(st.integers(1, 30), st.data())
def test_equal_numbers_of_draws_have_one_order(n: int, data: st.DataObject) -> None:
    k = data.draw(st.lists(st.integers(0, n), min_size=2, max_size=6))
    orders = [sorted(k, key=lambda right: rank(name, right / n, n)) for name in RANKINGS]
    assert orders[0] == orders[1] == orders[2] == sorted(k)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=9))
def test_above_is_an_order(counts: list[tuple[int, int]]) -> None:
    ranks = [rank("lower", k / (k + m) if k + m else 0.5, k + m) for k, m in counts]
    for a, b in combinations(ranks, 2):
        assert not (a.above(b) and b.above(a))
        for c in ranks:
            assert not (a.above(b) and b.above(c)) or a.above(c)


def test_bounds_are_wilsons() -> None:
    assert rank("lower", 4 / 6, 6) == Rank(*wilson(4, 6))
    assert rank("lower", 1.0, 3).high == 1.0 and rank("lower", 0.0, 3).low == 0.0
    assert rank("share", 0.25, 4) == Rank(0.25, 0.25)
    assert rank("mean", 0.25, 4) == Rank(2 / 6, 2 / 6)


def test_fewer_pairs_are_wrong_by_bounds_than_by_shares() -> None:
    """Siblings of known values, 1 to 16 draws each; the half of the pairs that is widest."""
    chance = random.Random(1)
    wrong = {}
    sets = [
        [(value, chance.choice([1, 1, 2, 16])) for value in (chance.random() for _ in range(5))]
        for _ in range(1500)
    ]
    drawn = [
        [(value, sum(chance.random() < value for _ in range(n)), n) for value, n in one]
        for one in sets
    ]
    for name in RANKINGS:
        pairs = []
        for siblings in drawn:
            ranks = [(rank(name, k / n, n), value) for value, k, n in siblings]
            best = max(ranks, key=lambda one: one[0].low)
            worst = min(ranks, key=lambda one: one[0].high)
            pairs.append((best[0].low - worst[0].high, best[1] < worst[1]))
        widest = sorted(pairs, reverse=True)[:700]
        wrong[name] = sum(is_wrong for _, is_wrong in widest)
    assert wrong["lower"] < wrong["share"] / 2 and wrong["mean"] < wrong["share"]
