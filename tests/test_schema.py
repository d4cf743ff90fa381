"""The quick look at a tree says yes to no tree that the thorough one refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from evidence import trace
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from stepkit import schema
from stepkit.errors import DataError

VALUES: list[Any] = [None, True, False, -2, -1, 0, 1, 5, 99, 0.0, 1.5, "", "stop", "x", [], {}, [0]]
COLUMNS = ("parent", "text", "whole", "finish", "outcome", "by", "draw", "spine", "samplers", "cut")
LOOSE = ("final", "rule", "tokens", "logprob")


def verdict(tree: Any) -> str:
    try:
        schema.check_tree({"tree": tree})
    except DataError as error:
        return str(error)
    return ""


@given(
    st.lists(
        st.tuples(st.sampled_from(COLUMNS + LOOSE), st.integers(-1, 9), st.sampled_from(VALUES)),
        min_size=1,
        max_size=2,
    )
)
@examples(500)
def test_quick_and_thorough_checks_agree(changes: list[tuple[str, int, Any]]) -> None:
    tree = copy.deepcopy(trace(1)["tree"])
    for column in LOOSE:
        tree.setdefault(column, [None] * len(tree["parent"]))
    for column, index, value in changes:
        if index < 0 or index >= len(tree[column]):
            tree[column] = value
            break
        tree[column][index] = value
    quick = verdict(tree)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "_is_sound", lambda tree: False)
        assert verdict(tree) == quick


@pytest.mark.parametrize("column", ["cut", *LOOSE])
def test_an_entry_of_another_type_is_named(column: str) -> None:
    """It was an internal error of whoever read the column."""
    tree = copy.deepcopy(trace(1)["tree"])
    tree[column] = [-1 if column == "cut" else None] * len(tree["parent"])
    assert not verdict(tree)
    tree[column][1] = [0]
    assert f"tree.{column}[1]" in verdict(tree)
