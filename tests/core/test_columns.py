"""A column is found by its name, whichever kind it is, or one line says why not."""

from __future__ import annotations

from typing import Any

import pytest

from stepkit.core import tree as trees
from stepkit.core.columns import all_columns, find_column, node_scores, numbers
from stepkit.errors import DataError

RECORD = {
    "labels": {"soft": {"of": "value", "x": [0.5, None]}, "both": {"x": [1, 1]}},
    "scores": {"prm": {"of": "validity", "x": [0.9, 0.1]}, "both": {"x": [0, 0]}},
}


@pytest.mark.parametrize(
    ("scores", "name", "complaint"),
    [
        ([], None, "expected an object"),
        (None, None, "run step-score first"),
        ({"a": {}, "b": {}}, None, "a, b; choose one with --score"),
        ({"a": {}}, "b", "scores.b.*missing; labels here: none; scores here: a"),
        ({"a": {}}, "labels.a", "labels.a.*missing"),
        ({"a": 1}, "a", "expected an object, got a number"),
        ({"a": 1}, "scores.a", "expected an object, got a number"),
    ],
)
def test_a_column_that_is_not_there_is_named(scores: Any, name: str | None, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        find_column({"scores": scores}, name, "--score")


def test_the_only_column_of_the_usual_kind_needs_no_name() -> None:
    assert find_column({"scores": {"a": {"x": []}}}, None, "--score").name == "a"
    labels: dict[str, Any] = {"labels": {"b": {}}, "scores": {"a": {}}}
    assert find_column(labels, None, "--at", usual="labels").field == "labels.b"
    with pytest.raises(DataError, match="labels here: b; scores here: none; choose one with --sc"):
        find_column({"labels": {"b": {}}}, None, "--score NAME")
    with pytest.raises(DataError, match="labels here: none; run step-label first"):
        find_column({}, None, "--at", usual="labels")


@pytest.mark.parametrize("usual", ["labels", "scores"])
def test_labels_and_scores_are_found_alike(usual: str) -> None:
    for name, field in (
        ("soft", "labels.soft"),
        ("labels.soft", "labels.soft"),
        ("prm", "scores.prm"),
        ("scores.prm", "scores.prm"),
        ("labels.both", "labels.both"),
        ("scores.both", "scores.both"),
    ):
        assert find_column(RECORD, name, "--at", usual=usual).field == field


def test_a_name_of_two_columns_must_be_told_apart() -> None:
    with pytest.raises(DataError, match=r"labels\.both or scores\.both with --at"):
        find_column(RECORD, "both", "--at")


def test_labels_of_this_run_come_before_those_of_the_record() -> None:
    new = {"soft": {"x": [1, 1]}, "made": {"x": [0, 1]}}
    assert find_column(RECORD, "soft", "of=", new=new).x(2) == [1, 1]
    assert find_column(RECORD, "labels.made", "of=", new=new).x(2) == [0, 1]
    with pytest.raises(DataError, match="made, soft; scores here: both, prm"):
        find_column(RECORD | {"labels": None}, "none", "of=", new=new)


def test_columns_of_nodes_have_a_number_for_each_node() -> None:
    tree = {"labels": RECORD["labels"]}
    assert find_column(tree, "soft", "--value", above="tree").x(2) == [0.5, None]
    with pytest.raises(DataError, match=r"tree\.labels\.soft\.x.*2 entries, but there are 3 nodes"):
        find_column(tree, "soft", "--value", above="tree").x(3)


def test_all_columns_are_labels_then_scores() -> None:
    fields = [column.field for column in all_columns(RECORD)]
    assert fields == ["labels.soft", "labels.both", "scores.prm", "scores.both"]
    assert all_columns(RECORD, "tree")[0].field == "tree.labels.soft"


def test_what_is_not_called_a_probability_is_raw() -> None:
    assert find_column(RECORD, "labels.both", "--score").raw
    assert not find_column(RECORD, "prm", "--score").raw


@pytest.mark.parametrize("x", [None, [1.0], [1.0, "2"], [1.0, True]])
def test_columns_are_numbers_or_null(x: Any) -> None:
    with pytest.raises(DataError, match=r"scores\.a\.x"):
        numbers(x, 2, "scores.a.x")


def test_counts_are_read_like_numbers() -> None:
    column = find_column({"labels": {"soft": {"x": [0.5], "k": [1], "n": [2, 3]}}}, "soft", "")
    assert column.counts("k", 1) == [1]
    assert column.counts("low", 1) is None
    with pytest.raises(DataError, match=r"labels\.soft\.n"):
        column.counts("n", 1)


@pytest.mark.parametrize("first", [2, -2, True, 0.0])
def test_a_first_error_is_a_step_of_the_trace(first: Any) -> None:
    with pytest.raises(DataError, match=r"labels\.a\.first"):
        find_column({"labels": {"a": {"first": first}}}, "a", "").first(2)


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [([1], "tree.scores"), ({"a": 1}, "tree.scores.a"), ({"a": {"x": [1]}}, "1 entries.*nodes")],
)
def test_scores_of_nodes_have_one_number_a_node(scores: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        node_scores(trees.from_steps(["a"]) | {"scores": scores})
