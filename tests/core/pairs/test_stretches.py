"""Trees that branched: a stretch between two forks competes with stretches, a step with steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairing import add, grown, make, texts
from properties import examples
from worlds import Game24, Sums, search

from stepkit.core.pairs.evidence_reading import EvidenceReading
from stepkit.core.pairs.record_prefixes import RecordPrefixes
from stepkit.core.pairs.siblings import sibling_sets
from stepkit.core.stretches import stretches
from stepkit.schema import Json
from stepkit.text.segment import split


def cut(record: Json, parent: int, text: str, draw: int) -> int:
    """A view of a draw's text, as a fork or a bisection leaves it."""
    return add(record, parent, text, None, whole=False, finish="", cut=draw, draw=0)


def forked() -> tuple[Json, int, int]:
    """Two chains from the root, each forked once: the first after two steps and a half."""
    record = grown()
    one = add(record, 0, "a\nb\nc 1 + 2\nd", 1.0, draw=0)
    two = add(record, 0, "e\nf\ng", 0.0, draw=1)
    first = cut(record, 0, "a\nb\nc 1", one)
    second = cut(record, 0, "e\nf\n", two)
    for draw in range(8):
        add(record, first, f" + 3\nh{draw}", 1.0, draw=draw)
        add(record, second, f"i{draw}", 0.0, draw=draw)
    return record, first, second


def test_a_stretch_between_two_forks_is_no_step() -> None:
    """At the root stand two stretches and the first steps of two draws: two sets, not one."""
    record, first, second = forked()
    assert stretches(record, record["tree"]) == {first, second}
    sets = list(sibling_sets(RecordPrefixes(record), EvidenceReading()))
    at_root = [one for one in sets if one.place == 0]
    assert [sorted(one.text for one in kind.members) for kind in at_root] == [
        ["a\n", "e\n"],
        ["a\nb\nc 1", "e\nf\n"],
    ]
    assert [kind.stretches for kind in at_root] == [False, True]
    for value in ("draws", "leaves"):
        for row in make(record, "all", value=value, rank="share").rows:
            sides = {row.chosen.text, row.rejected.text}
            of_stretches = {one.startswith(("a\nb\nc 1 + 3\nh", "e\nf\ni")) for one in sides}
            assert row.prefix or len(of_stretches) == 1, sides


def test_stretches_make_pairs_of_attempts_and_none_of_steps() -> None:
    record, _, _ = forked()
    rows = make(record).rows
    assert [(row.prefix, row.chosen[1:3], row.rejected[1:3]) for row in rows] == [
        ("", (1, 1), (0, 1)),
        ("", (8, 8), (0, 8)),
    ]
    assert rows[1].chosen.text == "a\nb\nc 1 + 3\nh0" and rows[1].rejected.text == "e\nf\ni0"
    found = make(record, scope="step")
    assert texts(found.rows) == [("a\n", "e\n")]
    assert found.dropped["a stretch between two forks is no step"] == 1
    ranked = make(record, "ranked", scope="step")
    assert [[side.text for side in row.sides] for row in ranked.rows] == [["a\n", "e\n"]]
    assert ranked.dropped["a stretch between two forks is no step"] == 2
    assert make(record, "mcts-dpo").rows[0].chosen.n == 8  # the grown ones are stretches


def test_steps_cut_from_draws_are_steps() -> None:
    """As a bisection leaves them: the first steps of a draw, one below the other."""
    record = grown()
    draw = add(record, 0, "a\nb\nc\nd", 0.0, draw=0)
    a = cut(record, 0, "a\n", draw)
    b = cut(record, a, "b\n", draw)
    assert stretches(record, record["tree"]) == set()
    both = cut(record, b, "c\nd", draw)
    assert stretches(record, record["tree"]) == {both}
    record["split"] = {"by": "lines", "max_steps": 3}  # whose third step is the rest
    assert stretches(record, record["tree"]) == set()


def test_a_text_that_is_a_step_elsewhere_is_one() -> None:
    """A stretch that a step equals stands at its place, and competes as the step."""
    record, first, _ = forked()
    add(record, 0, "a\nb\nc 1", None, whole=False, finish="", draw=5)
    prefixes = RecordPrefixes(record)
    assert prefixes.place[first] not in prefixes.stretches and len(prefixes.stretches) == 1


@pytest.mark.parametrize("rule", [None, {"by": "tokens", "size": 4}])
def test_where_nothing_can_be_cut_every_node_is_a_step(rule: Json | None) -> None:
    record, _, _ = forked()
    record["split"] = rule
    assert stretches(record, record["tree"]) == set()


@examples(15)
@given(seed=st.integers(0, 999), steps=st.booleans())
def test_a_branched_tree_compares_steps_with_steps(seed: int, steps: bool) -> None:
    """What the search itself grew: every sibling of a set of steps is one step by the rule."""
    world = Sums(seed, "1/3")
    rule = {"by": "lines"}
    options: Json = {"draws": 4, "points": 2, "width": [2], "rounds": 2, "seed": seed}
    tree = search(world, "branch", by=rule if steps else None, **options)
    record = {**world.record(), "tree": tree, "split": rule}
    for siblings in sibling_sets(RecordPrefixes(record), EvidenceReading()):
        for one in siblings.members:
            if not siblings.stretches:
                assert len(split(one.text, rule)) == 1
                assert not one.places or one.text.endswith("\n")


@examples(10)
@given(seed=st.integers(0, 999))
def test_trees_of_other_methods_have_no_stretches(seed: int) -> None:
    world = Game24([1, 2, 3, 4])
    omega = search(world, "omega", draws=4, searches=6, seed=seed, by={"by": "lines"})
    record = {**world.record(), "tree": omega, "split": {"by": "lines"}}
    assert stretches(record, omega) == set()
    shape = search(world, "branch", width=[2, 2, 2], seed=seed)
    assert stretches({**record, "tree": shape}, shape) == set()


def test_a_fork_inside_the_only_line_is_a_stretch() -> None:
    record = grown()
    draw = add(record, 0, "x y z Answer: 1", 1.0, draw=0)
    node = cut(record, 0, "x y", draw)
    assert stretches(record, record["tree"]) == {node}
