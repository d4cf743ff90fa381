"""What a trace's fields hold, and one line for what they should not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.core import leaves, trace
from stepkit.core import tree as trees
from stepkit.core.common_prefix import common_length
from stepkit.core.confidence import MEASURES, measure_steps, token_spans
from stepkit.core.response_tokens import tokens_of
from stepkit.errors import DataError
from stepkit.schema import Json


def test_steps_of_others_are_not_the_models() -> None:
    assert trace.assistant_steps({}, 2) == [True, True]
    assert trace.assistant_steps({"role": ["assistant", "tool"]}, 2) == [True, False]
    for role, complaint in (("assistant", "expected a list"), (["assistant"], "1 entries")):
        with pytest.raises(DataError, match=complaint):
            trace.assistant_steps({"role": role}, 2)


def test_a_sampler_is_chosen_by_id_or_index() -> None:
    tree = trees.from_steps([])
    for name in ("one", "two"):
        by = trees.sampler_index(tree, {"id": name})
        trees.add(tree, 0, "x", whole=True, finish="stop", by=by, draw=0)
    assert trace.choose_sampler(tree, "two") == trace.choose_sampler(tree, "1") == (1, "two")
    for wanted, complaint in ((None, "2 samplers drew"), ("three", 'no sampler "three"')):
        with pytest.raises(DataError, match=complaint):
            trace.choose_sampler(tree, wanted)
    with pytest.raises(DataError, match='an object with an "id"'):
        trace.choose_sampler(tree | {"samplers": [1]}, None)


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_common_length_counts_equal_leading_elements(one: list[int], other: list[int]) -> None:
    length = common_length(one, other)
    assert one[:length] == other[:length]
    assert one[length : length + 1] != other[length : length + 1] or one == other


# ---- confidence -----------------------------------------------------------------------------


def test_spans_give_a_token_to_the_step_of_its_first_byte() -> None:
    assert token_spans(["ab", "\u00e9", "c"], [0, 1, 3, 4]) == [(0, 2), (2, 3), (3, 4)]


def test_measures_of_tokens_by_hand() -> None:
    values, spans = [-1.0, -3.0, -2.0], [(0, 2), (2, 2), (2, 3)]
    assert measure_steps(MEASURES["logprob"], values, spans) == ([-2.0, None, -2.0], -2.0)
    assert measure_steps(MEASURES["entropy"], values, spans) == ([2.0, None, 2.0], 2.0)
    steps, whole = measure_steps(MEASURES["perplexity"], [0.0, 0.0], [(0, 2)])
    assert (steps, whole) == ([-1.0], -1.0)
    assert measure_steps(MEASURES["logprob"], [], [(0, 0)]) == ([None], None)


@given(
    st.lists(st.floats(-5, 0), min_size=1, max_size=30),
    st.integers(1, 8),
    st.sampled_from(["lowest-group", "bottom-group", "tail"]),
)
def test_groups_are_windows_that_end_in_the_step(values: list[float], size: int, name: str) -> None:
    middle = len(values) // 2
    steps, whole = measure_steps(MEASURES[name], values, [(0, middle), (middle, len(values))], size)

    def by_hand(first: int, past: int) -> float | None:
        if first == past:
            return None
        windows = [values[end - size : end] for end in range(first + 1, past + 1) if end >= size]
        means = [-sum(one) / len(one) for one in windows or [values[:past]]]
        if name == "tail":
            return means[-1]
        tenth = max(1, int(0.1 * len(means))) if name == "bottom-group" else 1
        return sum(sorted(means)[:tenth]) / tenth

    for found, expected in zip(
        [*steps, whole],
        [by_hand(0, middle), by_hand(middle, len(values)), by_hand(0, len(values))],
        strict=True,
    ):
        assert found == (None if expected is None else pytest.approx(expected, abs=1e-9))


# ---- attempts of a tree, tokens of a response -----------------------------------------------


def test_a_trace_for_each_attempt_of_a_tree() -> None:
    tree = trees.from_steps([])
    by = trees.sampler_index(tree, {"id": "s"})
    stem = trees.add(tree, 0, "a\n", whole=False, finish="", by=by, draw=0, tokens=2, logprob=-1.0)
    trees.add(tree, stem, "b", whole=False, finish="stop", outcome=1.0, final="4", by=by, draw=0,
              tokens=1, logprob=-0.5)  # fmt: skip
    whole = trees.add(tree, stem, "c\nd", whole=True, finish="length", by=by, draw=1)
    trees.add(tree, stem, "c\n", whole=False, finish="stop", by=by, draw=1, cut=whole)
    trees.add(tree, stem, "e", whole=True, finish="error", by=by, draw=2)
    tree["scores"] = {"prm": {"x": [None, 0.9, 0.8, None, None, None], "by": "scorer"}}
    soft = {"of": "value", "x": [0.5, 0.25, 1, 0, 0.125, None], "n": [4, 4, 1, 1, 8, 0]}
    tree["labels"] = {"soft": soft}
    record: Json = {"id": "t", "group": "g", "problem": "p", "tree": tree}
    one, other = leaves.leaf_traces(record, lambda text, before: text.splitlines(keepends=True))
    assert (one["id"], one["group"], one["origin"]) == ("t/2", "g", {"id": "t", "node": 2})
    assert (one["response"], one["steps"], one["final"], one["correct"]) == (
        "a\nb", ["a\n", "b"], "4", True,
    )  # fmt: skip
    assert one["scores"] == {"prm": {"x": [0.9, 0.8], "by": "scorer"}}
    root = {"x": 0.5, "n": 4}
    assert one["labels"] == {"soft": {"of": "value", "x": [0.25, 1], "n": [4, 1], "root": root}}
    assert (one["sample"]["tokens"], one["sample"]["logprob"]) == (3, -1.5)
    assert (other["steps"], other["correct"]) == (["a\n", "c\n", "d"], None)
    assert other["sample"]["finish"] == "length"
    # the view of the draw has the number after "c\n", the draw itself the one at its end
    assert other["scores"]["prm"]["x"] == [0.9, None, None]
    assert other["labels"]["soft"]["x"] == [0.25, 0.125, 0]
    assert other["labels"]["soft"]["n"] == [4, 8, 1]
    with pytest.raises(DataError, match='no "tree"'):
        leaves.leaf_traces({"id": "t"}, lambda text, before: [text])


def test_attempts_through_forks_are_cut_into_steps_again() -> None:
    """In a branch tree a node is the text up to a fork, which may be in the middle of a line."""
    tree = trees.from_steps([])
    by = trees.sampler_index(tree, {"id": "s"})
    draw = trees.add(tree, 0, "12 + 3\n45\nsix", whole=True, finish="stop", by=by, draw=0)
    first = trees.add(tree, 0, "1", whole=False, finish="", by=by, draw=0, cut=draw)
    second = trees.add(tree, first, "2 + 3\n", whole=False, finish="", by=by, draw=0, cut=draw)
    trees.add(tree, first, "9\nten", whole=True, finish="stop", by=by, draw=0)
    trees.add(tree, second, "46\n", whole=True, finish="stop", by=by, draw=0)
    tree["labels"] = {"value": {"of": "value", "x": [None, 0.1, 0.2, 0.3, 0.4, 0.5]}}
    record: Json = {"id": "t", "problem": "p", "tree": tree, "split": {"by": "lines"}}
    found = leaves.leaf_traces(record, lambda text, _: text.splitlines(keepends=True))
    assert [(one["steps"], one["labels"]["value"]["x"]) for one in found] == [
        (["12 + 3\n", "45\n", "six"], [0.3, None, 0.1]),
        (["19\n", "ten"], [None, 0.4]),
        (["12 + 3\n", "46\n"], [0.3, 0.5]),
    ]


def test_what_a_whole_draw_changed_is_not_what_its_last_step_did() -> None:
    """From 0.5 at the root to 0 at the end of "a b c": the fall is at b, and none at c."""
    tree = trees.from_steps([])
    by = trees.sampler_index(tree, {"id": "s"})
    whole = trees.add(tree, 0, "a\nb\nc", whole=True, finish="stop", outcome=0.0, by=by, draw=0)
    a = trees.add(tree, 0, "a\n", whole=False, finish="", by=by, draw=0, cut=whole)
    trees.add(tree, a, "b\n", whole=False, finish="", by=by, draw=0, cut=whole)
    trees.add(tree, a, "d", whole=True, finish="stop", outcome=1.0, by=by, draw=1)
    tree["labels"] = {
        "value": {"of": "value", "x": [0.5, 0, 0.5, 0, 1]},
        "progress": {"of": "progress", "x": [None, -0.5, 0, -0.5, 0.5], "n": [4, 1, 4, 4, 1]},
    }
    tree["scores"] = {"checker": {"of": "validity", "x": [None, 0, 1, 0, 1]}}
    record: Json = {"id": "t", "problem": "p", "tree": tree}
    one, other = leaves.leaf_traces(record, lambda text, _: text.splitlines(keepends=True))
    assert one["labels"]["value"]["x"] == [0.5, 0, 0]
    assert one["labels"]["progress"]["x"] == [0, -0.5, None]
    assert one["labels"]["progress"]["n"] == [4, 4, None]
    assert one["scores"]["checker"]["x"] == [1, 0, None]
    assert other["labels"]["progress"]["x"] == [0, 0.5]  # a draw of one step is that step


def test_leaves_keep_whose_step_is_whose() -> None:
    tree = trees.from_steps(["call\n", "result\n", "so 4"])
    tree["finish"][3] = "stop"
    by = trees.sampler_index(tree, {"id": "s"})
    trees.add(tree, 2, "so 5\nyes", whole=True, finish="stop", by=by, draw=0)
    trees.add(tree, 0, "4", whole=True, finish="stop", by=by, draw=0)
    record: Json = {
        "id": "t",
        "problem": "p",
        "tree": tree,
        "role": ["assistant", "tool", "assistant"],
    }
    own, drawn, bare = leaves.leaf_traces(record, lambda text, _: text.splitlines(keepends=True))
    assert own["role"] == ["assistant", "tool", "assistant"]
    assert drawn["role"] == ["assistant", "tool", "assistant", "assistant"]
    assert "role" not in bare


KEPT = {"token_bytes": [1, 2], "token_logprob": [-0.5, None]}


def test_tokens_of_a_response_are_read_and_checked() -> None:
    record: Json = {"response": "abc", "sample": KEPT, "scores": {"lm": KEPT, "prm": {}}}
    assert tokens_of(record, None) == tokens_of(record, "lm")
    assert list(tokens_of(record, None).size) == [1, 2]
    with pytest.raises(DataError, match="did not keep tokens"):
        tokens_of(record, "prm")
    with pytest.raises(DataError, match="--keep-tokens"):
        tokens_of({"response": "abc"}, None)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"token_bytes": "12"}, "expected a list"),
        ({"token_bytes": [1, -2]}, "expected numbers of bytes"),
        ({"token_bytes": [1, 1]}, "2 bytes, but the response has 3"),
        ({"token_logprob": [None]}, "1 entries, but token_bytes has 2"),
        ({"token_logprob": [0.5, None]}, "expected a log-probability"),
    ],
)
def test_tokens_that_are_none_of_the_response_are_refused(changes: Json, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        tokens_of({"response": "abc", "sample": KEPT | changes}, None)
