"""Choices among attempts, on groups worked out by hand."""

from __future__ import annotations

import json
import re
from math import exp, log
from typing import Any

import pytest
from work import Workdir

from stepkit.core import selection
from stepkit.core.selection import Aggregate, SelectionSettings, aggregate, classes
from stepkit.errors import DataError
from stepkit.schema import Json


def attempt(final: str | None, *x: float | None, of: str = "validity", **more: Any) -> Json:
    steps = [f"step {i}\n" for i in range(len(x))]
    record = {"problem": "p", "response": "".join(steps), "steps": steps, "final": final}
    return {**record, "scores": {"prm": {"of": of, "by": "scorer", "x": list(x)}}, **more}


def same(a: str, b: str) -> bool:
    return a.strip("$ ") == b.strip("$ ")


def choose(records: list[Json], **settings: Any) -> list[Json]:
    chosen = SelectionSettings(**settings)
    notes = selection.choose([selection.read_candidate(r, chosen) for r in records], chosen, same)
    return [note for note in notes if note is not None]


def ranks(records: list[Json], **settings: Any) -> list[int]:
    return [note["rank"] for note in choose(records, **settings)]


@pytest.mark.parametrize(
    ("how", "value"),
    [("min", 0.25), ("product", 0.1), ("mean", 0.5166666666666667), ("last", 0.5), ("max", 0.8)],
)
def test_aggregates(how: str, value: float) -> None:
    assert aggregate([0.8, 0.25, 0.5], how).value == pytest.approx(value)


def test_a_product_of_a_thousand_steps_keeps_its_logarithm() -> None:
    made = aggregate([0.1] * 1000, "product")
    assert made.value == 0.0
    assert made.log == pytest.approx(1000 * log(0.1))
    assert aggregate([0.5, 0.0], "product") == Aggregate(0.0, float("-inf"))
    assert aggregate([1, 1], "product") == Aggregate(1.0, 0.0)
    with pytest.raises(ValueError):
        aggregate([0.5, 1.5], "product")


def test_products_are_ranked_by_logarithm() -> None:
    group = [attempt("1", *[0.1] * 1000), attempt("2", *[0.2] * 1000), attempt("3", 0.5, 0.0)]
    notes = choose(group, aggregate="product")
    assert [note["rank"] for note in notes] == [1, 0, 2]
    assert notes[0]["value"] == notes[1]["value"] == 0.0
    assert notes[1]["log"] == pytest.approx(1000 * log(0.2))
    assert notes[2]["log"] is None  # minus infinity is no JSON number


def test_best_takes_the_highest_and_then_the_first() -> None:
    group = [attempt("1", 0.5), attempt("2", 0.9, 0.7), attempt(None, 0.7)]
    notes = choose(group)
    assert [note["rank"] for note in notes] == [2, 0, 1]
    assert notes[1] == {
        "by": "best",
        "aggregate": "min",
        "score": "prm",
        "value": 0.7,
        "n": 3,
        "answer": "2",
        "rank": 0,
        "reason": "order",
    }
    assert ranks(group, aggregate="max") == [2, 0, 1]
    assert ranks(group[:2], aggregate="last") == [1, 0]


def test_majority_counts_equal_answers_in_different_forms() -> None:
    group = [attempt("7", 0.9), attempt("42", 0.2), attempt("$42$", 0.3), attempt(None, 1.0)]
    notes = choose(group, by="majority")
    assert [note["rank"] for note in notes] == [2, 0, 1, 3]
    assert [note["votes"] for note in notes] == [1, 2, 2, 0]
    assert [note["answer"] for note in notes] == ["7", "42", "42", None]


def test_majority_looks_at_no_score_and_ties_go_to_the_first() -> None:
    assert ranks([attempt("a", 0.4), attempt("b", 0.6)], by="majority") == [0, 1]
    bare = [{k: v for k, v in attempt(f, 0.1).items() if k != "scores"} for f in "abab"]
    assert ranks(bare, by="majority") == [0, 2, 1, 3]
    assert "value" not in choose(bare, by="majority")[0]
    broken = [attempt("a", None), attempt("b", 0.9), attempt("a", 0.1)]
    assert ranks(broken, by="majority") == [0, 2, 1]


def test_weighted_sums_the_aggregates() -> None:
    group = [attempt("a", 0.4), attempt("b", 0.9), attempt("a", 0.6), attempt("c", 0.1)]
    notes = choose(group, by="weighted")
    assert [note["rank"] for note in notes] == [1, 2, 0, 3]
    assert [note["share"] for note in notes] == pytest.approx([0.5, 0.45, 0.5, 0.05])


def test_weighted_products_do_not_vanish() -> None:
    group = [attempt("a", *[0.1] * 1000), attempt("b", *[0.1] * 999, 0.2)]
    group.append(attempt("a", *[0.1] * 999, 0.15))  # 0.1 + 0.15 > 0.2, times 1e-999
    notes = choose(group, by="weighted", aggregate="product")
    assert [note["rank"] for note in notes] == [1, 2, 0]
    assert [note["share"] for note in notes] == pytest.approx([25 / 45, 20 / 45, 25 / 45])
    assert notes[0]["value"] == 0.0 and exp(notes[0]["log"]) == 0.0


def test_all_weights_zero_fall_back_to_the_first() -> None:
    group = [attempt("a", 0.0), attempt("b", 0.0)]
    for how in ("min", "product"):
        notes = choose(group, by="weighted", aggregate=how)
        assert [note["rank"] for note in notes] == [0, 1]
        assert notes[0]["share"] is None


def test_nobody_answered() -> None:
    group = [attempt(None, 0.2), attempt(None, 0.8)]
    for by, first in (("majority", 0), ("weighted", 1)):
        notes = choose(group, by=by)
        assert notes[first]["rank"] == 0
        assert (notes[first]["votes"], notes[first]["answer"]) == (0, None)


def test_an_attempt_without_text_is_the_last() -> None:
    empty: Json = {"problem": "p", "response": "", "steps": [], "final": "a"}
    notes = choose([empty, attempt("a", 0.1)], aggregate="product")
    assert [note["rank"] for note in notes] == [1, 0]
    assert notes[0]["value"] is notes[0]["log"] is None
    assert ranks([empty, attempt("a", 0.1)], by="weighted") == [1, 0]
    assert ranks([empty]) == [0]


def test_a_group_of_one() -> None:
    alone = attempt("a", 0.5, verdicts={"judge": []})
    alone["labels"] = {"subthought": {"meta": {"answers": {}}}}
    for by in selection.METHODS:
        (note,) = choose([alone], by=by, longest=1)
        assert (note["rank"], note["reason"]) == (0, "only")


def test_answers_are_extracted_where_final_is_missing() -> None:
    record = attempt("x", 0.5)
    del record["final"]
    record |= {"response": "so \\boxed{12}", "steps": ["so \\boxed{12}"]}
    assert choose([record])[0]["answer"] == "12"


def test_steps_of_others_do_not_count() -> None:
    group = [attempt("a", 0.9, None, 0.8, role=["assistant", "tool", "assistant"])]
    assert choose(group)[0]["value"] == 0.8


@pytest.mark.parametrize(
    ("how", "value"),
    [
        *(("min", 0.5), ("product", 0.45), ("mean", 0.7), ("last", 0.5), ("max", 0.9)),
        *(("sum", 1.4), ("window:size=2", 0.7), ("logits", log(9))),
    ],
)
def test_a_step_of_which_nothing_is_said_is_left_out(how: str, value: float) -> None:
    (note,) = choose([attempt("a", 0.9, None, 0.5, None)], aggregate=how)
    assert note["value"] == pytest.approx(value)


def test_nulls_are_left_out_of_both_levels_and_of_the_total() -> None:
    levels = attempt("a", 0.9, None, 0.5)
    levels["scores"]["prm"] |= {"consecutive": [None, 0.1], "total": None}
    (note,) = choose([levels], aggregate="hierarchical")
    assert note["value"] == pytest.approx((0.7 + 0.1) / 2)
    assert choose([levels], aggregate="total")[0]["value"] is None
    levels["scores"]["prm"]["consecutive"] = [None, None]
    assert choose([levels], aggregate="hierarchical")[0]["value"] == pytest.approx(0.7)


@pytest.mark.parametrize("how", ["min", "product", "mean", "last", "logits"])
def test_an_attempt_of_which_nothing_is_said_ranks_behind_one_found_wrong(how: str) -> None:
    """As an attempt with an empty text does, which by a product came before a 0 that was later."""
    group = [attempt("a", None, None), attempt(None), attempt("b", 0.0, None), attempt("c", 0.7)]
    notes = choose(group, aggregate=how)
    assert [note["rank"] for note in notes] == [2, 3, 1, 0]
    assert notes[0]["value"] is None and notes[0]["reason"] == "value"
    assert [note["rank"] for note in choose([attempt("a", None), attempt("b", None)])] == [0, 1]


@pytest.mark.parametrize("by", ["weighted", "log-weighted"])
@pytest.mark.parametrize("how", ["min", "product"])
def test_an_attempt_of_which_nothing_is_said_weighs_nothing_in_a_vote(by: str, how: str) -> None:
    group = [attempt("a", None), attempt("a", None), attempt("b", 0.2), attempt("a", 0.1)]
    notes = choose(group, by=by, aggregate=how)
    assert [note["rank"] for note in notes] == [2, 3, 0, 1]
    bare = choose(group[2:], by=by, aggregate=how)
    assert [note["share"] for note in notes[2:]] == pytest.approx([one["share"] for one in bare])
    nothing = choose(group[:2], by=by, aggregate=how)
    assert [(note["rank"], note["share"]) for note in nothing] == [(0, None), (1, None)]


def test_scores_of_a_checker_choose(work: Workdir) -> None:
    """It says nothing of a step without a sum; step-rerank took that for a missing score."""
    texts = ["So it is.\n", "2 + 2 = 5.\n", "2 + 2 = 4.\nSo it is.\n"]
    traces = [{"problem": "p", "response": text, "final": text} for text in texts]
    work.write("in.jsonl", "".join(json.dumps(trace) + "\n" for trace in traces))
    split = work.run("step-split", "in.jsonl")
    scored = work.run("step-score", "--check", "arithmetic", input=split.out)
    done = work.run("step-rerank", "--all", input=scored.out)
    assert (done.status, done.err) == (0, "")
    choices = [json.loads(line)["choice"] for line in done.lines]
    assert [(one["rank"], one["value"]) for one in choices] == [(2, None), (1, 0.0), (0, 1.0)]


def test_classes_compare_both_ways_with_the_first_of_each() -> None:
    """1 is near 2 and 2 near 3, but 1 not near 3; and "like 1" is one-sided."""

    def near(a: str, b: str) -> bool:
        if "like" in b:
            return True
        return "like" not in a and abs(int(a) - int(b)) <= 1

    found = classes(["1", "2", "3", None, "like 1", "2"], near)
    assert [(c.answer, c.members) for c in found] == [
        ("1", [0, 1, 5]),
        ("3", [2]),
        ("like 1", [4]),
    ]
    assert classes([], near) == []


@pytest.mark.parametrize(
    ("record", "settings", "complaint"),
    [
        ({"problem": "p"}, {}, "without an attempt"),
        (attempt("a", "high"), {}, 'field "scores.prm.x[0]"'),  # type: ignore[arg-type]
        (attempt("a", None, of="raw"), {"by": "weighted"}, "raw"),
        (attempt("a", None, of="raw"), {"aggregate": "product"}, "raw"),
        (attempt("a", None, role=["user"]), {}, 'field "role"'),
        (attempt("a", 0.5, scores=None), {}, "step-score"),
        (attempt("a", 0.5), {"score": "other"}, 'field "scores.other"'),
        (attempt("a", 0.5, scores={"p": {}, "q": {}}), {}, "--score"),
        (attempt("a", 0.5, of="raw"), {"by": "weighted"}, "raw"),
        (attempt("a", 0.5, of="raw"), {"aggregate": "product"}, "raw"),
        (attempt("a", -0.5), {"by": "weighted"}, "from 0 to 1"),
        (attempt("a", 1e308), {}, "too large"),
        (attempt("a", 1e308, 1e308), {"aggregate": "mean"}, "overflow"),
        (attempt("a", 1.5), {"aggregate": "product"}, "from 0 to 1"),
        (attempt("a", 0.5, role=["user"]), {}, 'field "role"'),
        (attempt(None, 0.5) | {"final": 3}, {}, 'field "final"'),
    ],
)
def test_what_a_candidate_lacks_is_named(record: Json, settings: Json, complaint: str) -> None:
    with pytest.raises(DataError, match=re.escape(complaint)):
        selection.read_candidate(record, SelectionSettings(**settings))


def test_raw_scores_may_be_compared() -> None:
    assert ranks([attempt("a", -3.0, of="raw"), attempt("b", 2.0, of="raw")]) == [1, 0]


def test_two_scores_in_one_group_are_refused() -> None:
    other = attempt("b", 0.5)
    other["scores"] = {"judge": other["scores"]["prm"]}
    with pytest.raises(DataError, match="judge and by prm"):
        choose([attempt("a", 0.5), other])


def test_command_writes_one_of_each_group(work: Workdir) -> None:
    group = [attempt("1", 0.2), attempt("0.50", 0.8), attempt("1/2", 0.9)]
    other = [attempt("7", 0.1, problem="q")]
    lines = [json.dumps(record) for record in [*group, *other]]
    work.write("in.jsonl", "".join(f"{line}\n" for line in lines))
    done = work.run("step-rerank", "in.jsonl")
    assert (done.status, done.err) == (0, "")
    assert len(done.lines) == 2
    assert done.lines[0].startswith(lines[2][:-1].encode() + b',"choice":{"by":"best",')
    assert done.lines[1].startswith(lines[3][:-1].encode())
    done = work.run("step-rerank", "in.jsonl", "--by", "majority", "--all")
    choices = [json.loads(line)["choice"] for line in done.lines]
    assert [choice["rank"] for choice in choices] == [2, 0, 1, 0]
    assert [choice["answer"] for choice in choices] == ["1", "0.50", "0.50", "7"]


def test_command_names_the_attempt_that_cannot_be_judged(work: Workdir) -> None:
    group = [attempt("1", 0.2), attempt("2", 0.3, scores=None), attempt("3", 0.1)]
    work.write("in.jsonl", "".join(json.dumps(record) + "\n" for record in group))
    done = work.run("step-rerank", "in.jsonl")
    assert (done.status, done.out) == (3, b"")
    assert done.err.startswith('step-rerank: in.jsonl:2: field "scores"')
