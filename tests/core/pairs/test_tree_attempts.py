"""Rows of a tree: every labelled step once, the same rows as from its attempts one by one."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairing import add, grown, make, step

from stepkit.core import tree as trees
from stepkit.core.leaves import leaf_traces
from stepkit.core.pairs.rule_input import SHARED
from stepkit.core.pairs.tree_attempts import NOTHING_NEW
from stepkit.errors import DataError
from stepkit.schema import Json


def forked() -> Json:
    """a, then b right or c and from there three draws; d was labelled and never gone on from.

    Nodes: 1 a, 2 b (an end), 3 c, 4 to 6 draws after c, 7 d.
    """
    record = grown()
    a = step(record, 0, "a\n", 0)
    step(record, a, "b", 0, 1.0)
    c = step(record, a, "c\n", 1)
    for draw, outcome in enumerate([0.0, 1.0, 0.0]):
        add(record, c, f"e{draw}\nf", outcome, draw=draw)
    step(record, 0, "d\n", 1)
    x = [0.5, 0.6, 1.0, 0.25, 0.0, 1.0, 0.0, 0.125]
    record["tree"]["labels"] = {"soft": {"of": "value", "x": x}}
    return record


def test_each_node_of_a_tree_is_trained_on_once() -> None:
    made = make(forked(), "prm", at="soft")
    assert [(row.steps, row.labels) for row in made.rows] == [
        (("a\n", "b"), (0.6, True)),
        (("a\n", "c\n", "e0\n", "f"), (None, 0.25, None, False)),
        (("d\n",), (0.125,)),
    ]
    assert made.dropped == {SHARED: 1, NOTHING_NEW: 2}
    assert [row.origin.draws for row in made.rows] == [("2",), ("4",), ("7",)]


def test_every_attempt_keeps_the_labels_that_it_shares_on_demand() -> None:
    made = make(forked(), "prm", at="soft", repeat_shared=True)
    assert [row.labels for row in made.rows] == [
        (0.6, True),
        (0.6, 0.25, None, False),
        (0.6, 0.25, None, True),
        (0.6, 0.25, None, False),
        (0.125,),
    ]
    assert made.dropped == {}


def test_weights_and_advantages_of_a_tree_are_those_of_its_nodes() -> None:
    record = forked()
    rows = make(record, "weighted", at="soft").rows
    assert [(row.weights, row.ended) for row in rows] == [
        ((0.6, 1.0), True),
        ((0.0, 0.25, 0.0, 0.0), True),
        ((0.125,), False),
    ]
    record["tree"]["labels"]["value"] = record["tree"]["labels"]["soft"] | {"n": [4] * 8}
    rows = make(record, "advantages", at="soft").rows
    assert [row.advantages for row in rows[:2]] == [(0.6, 1.0), (None, 0.25, None, 0.0)]
    assert [row.n for row in rows[:2]] == [(4, 4), (4, 4, 0, 4)]


def test_a_filter_of_a_bare_tree_takes_its_right_attempts() -> None:
    rows = make(forked(), "filter").rows
    assert [row.side.text for row in rows] == ["a\nb", "a\nc\ne1\nf"]
    made = make(forked(), "filter", at="soft", min_chosen=0.5)
    assert [row.side.text for row in made.rows] == ["a\nb"]
    assert made.dropped["under --min-chosen"] == 1
    assert [row.desirable for row in make(forked(), "kto").rows] == [True, False, True, False]


def test_the_given_trace_of_a_labelled_tree_comes_first_and_ungraded() -> None:
    record = forked()
    tree = record["tree"]
    node = trees.add(tree, 0, "g", whole=False, finish="", by=-1, draw=-1)
    tree["spine"] = [node]
    tree["labels"]["soft"]["x"].append(0.75)
    record |= {"response": "g", "steps": ["g"]}
    assert make(record, "prm", at="soft").rows[0][:2] == (("g",), (0.75,))
    assert len(make(record, "kto").rows) == 0  # a rule without a column looks at the trace


def test_a_column_that_the_tree_lacks_is_that_of_the_trace() -> None:
    record = forked()
    with pytest.raises(DataError, match=r'"tree\.labels\.hard": missing'):
        make(record, "prm")
    record |= {"response": "a\nb", "steps": ["a\n", "b"], "scores": {"own": {"x": [1, 0]}}}
    record["tree"]["spine"] = [1, 2]
    assert [row.labels for row in make(record, "prm", at="own").rows] == [(True, False)]


def test_steps_of_others_in_a_tree_are_masked() -> None:
    record = forked()
    record["tree"]["spine"] = [1, 2]
    record |= {"response": "a\nb", "steps": ["a\n", "b"], "role": ["tool", "assistant"]}
    labels = [row.labels for row in make(record, "prm", at="soft", repeat_shared=True).rows]
    assert labels[:2] == [(None, True), (None, 0.25, None, False)]


def test_the_pieces_between_forks_are_the_steps_of_a_forked_tree() -> None:
    """SPO-tree: each segment has the advantage of its node; that of a draw's rest is not known."""
    record = grown()
    tree = record["tree"]
    draw = add(record, 0, "12 + 3\n45\nsix", 1.0, draw=0)
    fork = trees.add(tree, 0, "1", whole=False, finish="", by=0, draw=0, cut=draw)
    add(record, fork, "9\nten", 0.0, draw=0)
    x = [None, 0.5, 0.25, -0.75]
    tree["labels"] = {"progress": {"of": "progress", "x": x}}
    rows = make(record, "advantages").rows
    assert [(row.steps, row.advantages) for row in rows] == [
        (("1", "2 + 3\n45\nsix"), (0.25, None)),
        (("1", "9\nten"), (None, -0.75)),
    ]


def test_what_is_filled_in_between_forks_is_a_step() -> None:
    """Rules of whole attempts have no use for the pieces between forks."""
    record = grown()
    draw = add(record, 0, "12 + 3\n45\nsix", 1.0, draw=0)
    trees.add(record["tree"], 0, "1", whole=False, finish="", by=0, draw=0, cut=draw)
    (row,) = make(record, "fill-in").rows
    assert row.side.text == "45\n"
    (row,) = make(record, "kto").rows
    assert row.side.text == "12 + 3\n45\nsix"


NUMBERS = st.one_of(st.none(), st.sampled_from([0, 1, 0.25, 0.5]))


@given(st.data())
def test_trees_and_flat_traces_give_equal_rows(data: st.DataObject) -> None:
    record = grown()
    tree = record["tree"]
    for number in range(data.draw(st.integers(1, 8))):
        steps = [one for one in range(len(tree["parent"])) if not tree["finish"][one]]
        parent = data.draw(st.sampled_from(steps))
        text = f"{number}\n"
        if data.draw(st.booleans()):
            step(record, parent, text, number, data.draw(st.sampled_from([None, 0.0, 1.0])))
        else:
            add(record, parent, f"{text}end", data.draw(st.sampled_from([0.0, 1.0])), draw=number)
    size = len(tree["parent"])
    x = data.draw(st.lists(NUMBERS, min_size=size, max_size=size))
    tree["labels"] = {"soft": {"of": "value", "x": x}}
    flat = leaf_traces(record, lambda text, _: text.splitlines(keepends=True))
    one_by_one = [row[:2] for trace in flat for row in make(trace, "prm", at="soft").rows]
    made = make(record, "prm", at="soft", repeat_shared=True)
    ended = [row for row in made.rows if tree["finish"][int(row.origin.draws[0])]]
    assert [row[:2] for row in ended] == one_by_one
    once = make(record, "prm", at="soft").rows
    given_labels = Counter(
        (row.steps[: index + 1], label)
        for row in once
        for index, label in enumerate(row.labels)
        if label is not None
    )
    numbered = [one for one in range(1, size) if x[one] is not None and not tree["whole"][one]]
    assert len(given_labels) >= len(numbered) and set(given_labels.values()) <= {1}
