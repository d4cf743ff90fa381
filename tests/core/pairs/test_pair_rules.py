"""Each rule on evidence small enough to be worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from pairing import add, grown, make, only, step, texts, trace

from stepkit.core.pairs.pair_registry import RULES, default_rule
from stepkit.errors import DataError
from stepkit.formats.trainer_registry import KINDS
from stepkit.schema import Json


def ladder() -> Json:
    """Four siblings at the root: A 3 of 3, B 2 of 3, C 2 of 3 (one draw less: 1 of 2), D 0 of 2."""
    record = grown()
    for number, (text, outcomes) in enumerate(
        [("A\n", [1, 1, 1]), ("B\n", [1, 1, 0]), ("C\n", [1, 0]), ("D\n", [0, 0])]
    ):
        node = step(record, 0, text, number)
        for draw, outcome in enumerate(outcomes):
            add(record, node, "r", float(outcome), draw=draw)
    return record


def names(rows: list[Any]) -> list[str]:
    """The two siblings of each pair, as in "AB"."""
    return [chosen[0] + rejected[0] for chosen, rejected in texts(rows)]


@pytest.mark.parametrize(
    ("rule", "options", "expected"),
    [
        ("best-worst", {}, ["AD"]),
        ("best-rest", {}, ["AB", "AC", "AD"]),
        ("all", {}, ["AB", "AC", "AD", "BC", "BD", "CD"]),
        ("adjacent", {}, ["AB", "BC", "CD"]),
        ("top-bottom", {"top": 1}, ["AD"]),
        ("top-bottom", {"top": 2}, ["AD", "AC", "BD", "BC"]),
        ("path-rest", {}, ["AD", "BD", "CD"]),
        ("tree-plv", {}, ["AB", "AC", "AD", "BC", "BD", "CD"]),
        ("tree-plv", {"min_gap": 0.6}, ["AD", "BD"]),
        ("mcts-dpo", {}, ["AD"]),
    ],
)
def test_rules_over_a_sibling_set(rule: str, options: Json, expected: list[str]) -> None:
    assert names(make(ladder(), rule, scope="step", **options).rows) == expected


def test_top_bottom_takes_twice_as_many_against_a_single_one() -> None:
    record = grown()
    for number, (text, outcome) in enumerate([("A", 1.0), ("B", 1.0), ("C", 1.0), ("D", 0.0)]):
        step(record, 0, text, number, outcome)
    assert names(make(record, "top-bottom", scope="step", top=1).rows) == ["AD", "BD"]


def test_first_steps_of_draws_compete_unless_the_rule_is_about_grown_steps() -> None:
    record = ladder()
    add(record, 0, "E\nand on", 0.0, draw=9)
    assert "AE" in names(make(record, "all", scope="step").rows)
    assert "AE" not in names(make(record, "tree-plv", scope="step").rows)


def test_mcts_dpo_goes_down_below_the_best() -> None:
    record = grown()
    good, bad = step(record, 0, "A\n", 0), step(record, 0, "B\n", 1)
    for draw in range(4):
        add(record, good, "r", float(draw > 0), draw=draw)
        add(record, bad, "r", 0.0, draw=draw)
    step(record, good, "Aa", 0, 1.0), step(record, good, "Ab", 1, 0.0)
    step(record, bad, "Ba", 0, 1.0), step(record, bad, "Bb", 1, 0.0)
    rows = make(record, "mcts-dpo", scope="step").rows
    assert texts(rows) == [("A\n", "B\n"), ("Aa", "Ab")]
    assert [row.prefix for row in rows] == ["", "A\n"]
    everywhere = make(record, "tree-plv", scope="step").rows
    assert texts(everywhere) == [("A\n", "B\n"), ("Aa", "Ab"), ("Ba", "Bb")]


def test_values_of_a_search_are_leaves_or_visits_or_scores() -> None:
    record = grown()
    a, b = step(record, 0, "A\n", 0), step(record, 0, "B\n", 1)
    right, wrong = step(record, a, "x", 0, 1.0), step(record, a, "y", 1, 0.0)
    end = step(record, b, "z", 0, 1.0)
    assert make(record, "tree-plv").dropped == {"fewer than two rivals": 2}  # nothing drawn at a, b
    row = make(record, "tree-plv", value="leaves").rows[0]
    assert (row.chosen[:3], row.rejected[:3]) == (("B\nz", 1, 1), ("A\ny", 1, 2))
    record["tree"]["visits"] = [right, right, right, wrong, end, wrong, end]
    rows = make(record, "mcts-dpo", value="visits", weight="smooth").rows
    # each end is one draw, however often it was visited; the value and the trust are of the visits
    assert (rows[0].chosen[:4], rows[0].rejected[:4]) == (("B\nz", 1, 1, 1), ("A\ny", 1, 2, 0.6))
    assert rows[0].weight == 0.5  # 1 / (1 + 5 / 2) is below one half
    # Beta(2, 1) above Beta(2, 2): E[3 x^2 - 2 x^3] = 3/2 - 4/5
    assert rows[0].probability == pytest.approx(0.7)
    assert rows[0].origin.draws == (str(b), str(a))
    record["tree"]["scores"] = {"prm": {"x": [None, 0.9, 0.25, 0.1, 0.8, 0.3]}}
    row = make(record, "best-worst", value="prm", scope="step").rows[0]
    assert (row.chosen[:5], row.rejected[:5]) == (
        ("A\n", 0, 0, 0.9, False),
        ("B\n", 0, 0, 0.25, False),
    )
    assert row.probability == pytest.approx(0.5)  # nothing is counted


def test_what_is_no_value_is_named() -> None:
    with pytest.raises(DataError, match=r'"tree.visits"'):
        make(ladder(), "mcts-dpo", value="visits")
    with pytest.raises(DataError, match=r'"tree.scores.prm"'):
        make(ladder(), "mcts-dpo", value="prm")


def test_advantage_pairs_lie_on_both_sides_of_the_value_before() -> None:
    record = ladder()
    for draw, outcome in enumerate([1, 0, 0, 1]):
        add(record, 0, "E", float(outcome), draw=draw)
    row = only(record, "advantage", scope="step", weight="gap")
    assert (row.chosen[:3], row.rejected[:3]) == (("A\n", 3, 3), ("D\n", 0, 2))
    assert row.weight == 1.0
    assert make(ladder(), "advantage").dropped["no value before"] == 1


def wrong_trace() -> Json:
    """Values 1/2 at the root, then 1/2, 0, 0: the second step is the first pit."""
    return trace(
        {
            0: [("a2\nlong way\n1", 1.0), ("a3\n0", 0.0)],
            1: [("b2\na longer way\n1", 1.0), ("b3\n0", 0.0), ("b4\n1", 1.0), ("b1\nno", 0.0)],
            2: [("c2", 0.0), ("c3", 0.0)],
        }
    )


def test_first_pit_is_the_first_step_from_which_nothing_came_out_right() -> None:
    row = only(wrong_trace(), "first-pit")
    assert (row.origin.step, row.prefix) == (1, "a1\n")
    assert row.chosen.text == "b4\n1"  # the shortest right attempt
    assert row.rejected.text == "b1\nc1"
    assert make(trace({}, 1.0), "first-pit").dropped == {"the attempt is right": 1}
    assert make(trace({}, None), "first-pit").dropped == {"the attempt is undecided": 1}
    assert make(trace({}), "first-pit").dropped == {
        "a step before the first pit without a value": 1
    }
    assert make(grown(), "first-pit").dropped == {"a tree without a trace": 1}


def test_negatives_are_the_steps_that_lowered_the_value() -> None:
    record = wrong_trace()
    found = make(record, "negatives")
    # a1 keeps 1/2, b1 lowers it to 0, c1 stays at 0
    assert [row.origin.step for row in found.rows] == [1]
    assert found.rows[0].rejected.text == "b1\nc1"
    add(record, 0, "a4\n1", 1.0, draw=2)  # now the root has 2 of 3, and a1 lowers it, too
    assert [row.origin.step for row in make(record, "negatives").rows] == [0, 1]


def test_every_kind_has_a_rule_and_every_rule_a_kind() -> None:
    assert {rule.kind for rule in RULES.values()} == set(KINDS)
    assert default_rule("pair") == "best-worst"


# ---- what stands at one place ---------------------------------------------------------------


def test_twins_are_one_sibling_and_a_draw_counts_once() -> None:
    record = grown()
    one, twin = step(record, 0, "A\n", 0), step(record, 0, "A\n", 1)
    other = step(record, 0, "B\n", 2)
    for node in (one, twin):  # the same two draws of one prefix, in a merged file
        add(record, node, "x", 1.0, draw=0)
        add(record, node, "x", 1.0, draw=1)
    add(record, twin, "x", 0.0, draw=2)
    add(record, other, "w", 0.0, draw=0)
    row = only(record)
    assert row.chosen[1:3] == (2, 3)
    assert row.rejected[1:3] == (0, 1)


def test_what_grew_below_twins_competes() -> None:
    record = grown()
    one, twin = step(record, 0, "A\n", 0), step(record, 0, "A\n", 1)
    step(record, one, "x", 0, 1.0)
    step(record, twin, "y", 1, 0.0)
    row = only(record)
    assert (row.prefix, row.chosen.text, row.rejected.text) == ("A\n", "x", "y")


def test_steps_cut_from_draws_have_only_what_was_drawn_there() -> None:
    record = trace({0: [("a2\nx", 1.0)]}, steps=["a1"])
    whole = 2
    cut = add(record, 0, "a2\n", None, whole=False, finish="", cut=whole, by=-1, draw=-1)
    row = only(record, scope="step")
    assert row.chosen[1:3] == (1, 1)  # the draw itself, once
    add(record, cut, "q", 0.0, draw=0)
    assert only(record, scope="step").chosen[1:3] == (1, 2)


def test_attempts_are_found_deeper_in_the_tree() -> None:
    record = grown()
    a, b = step(record, 0, "A\n", 0), step(record, 0, "B\n", 1)
    step(record, step(record, a, "Aa\n", 0), "Aaa", 0, 1.0)
    step(record, step(record, b, "Bb\n", 0), "Bbb", 0, 0.0)
    row = only(record, "mcts-dpo", value="leaves")
    assert (row.chosen.text, row.rejected.text) == ("A\nAa\nAaa", "B\nBb\nBbb")


def test_no_attempt_goes_through_the_turn_of_another() -> None:
    record = trace({2: [("c2", 1.0)]}, role=["assistant", "tool", "assistant"])
    add(record, 0, "a2", 0.0, draw=0)
    found = make(record, value="leaves")
    assert [row.origin.step for row in found.rows] == [2]
    assert found.dropped == {"no attempt that came to its end": 1}  # a1 only by the tool's b1


def test_a_deep_tree_needs_no_recursion() -> None:
    record = grown()
    node = a = step(record, 0, "A\n", 0)
    step(record, 0, "B", 1, 0.0)
    for depth in range(3000):
        node = step(record, node, f"{depth}\n", 0)
    step(record, node, "end", 0, 1.0)
    row = only(record, "mcts-dpo", value="leaves")
    assert row.chosen.text.startswith("A\n0\n1\n") and row.chosen.text.endswith("2999\nend")
    assert a
