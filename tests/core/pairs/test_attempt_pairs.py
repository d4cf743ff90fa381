"""Pairs of whole attempts at one problem."""

from __future__ import annotations

from typing import Any

from pairing import plan

from stepkit.schema import Json


def attempt(text: str, correct: bool | None, **more: Any) -> Json:
    record = {"id": f"p/{text}", "group": "p", "problem": "?", "response": text}
    return {**record, "steps": [text], "correct": correct, **more}


def pairs(rule: str, records: list[Json], **options: Any) -> list[Any]:
    return [pair for _, pair in plan(rule, **options).of_group(records)]


RECORDS = [attempt("r1", True), attempt("r22", True), attempt("w1", False), attempt("x", False)]


def sides(found: list[Any]) -> list[tuple[str, str]]:
    return [(pair.chosen.text, pair.rejected.text) for pair in found]


def test_outcome_pairs_are_all_right_against_all_wrong() -> None:
    found = pairs("outcome", RECORDS)
    assert sides(found) == [("r1", "w1"), ("r22", "x"), ("r1", "x"), ("r22", "w1")]
    assert {pair.weight for pair in found} == {0.25}
    assert found[0].origin.sources == ("p/r1", "p/w1")
    assert found[0].prefix == "" and found[0].chosen.ended


def test_a_cap_takes_from_all_attempts() -> None:
    assert sides(pairs("outcome", RECORDS, per_problem=2)) == [("r1", "w1"), ("r22", "x")]


def test_length_matched_outcome_pairs() -> None:
    records = [attempt("short", True), attempt("a" * 30, False), attempt("wrong", False)]
    assert sides(pairs("outcome", records, match_length=True, per_problem=1)) == [
        ("short", "wrong")
    ]
    assert sides(pairs("outcome", records, per_problem=1)) == [("short", "a" * 30)]


def test_equal_attempts_are_one_with_pooled_verdicts() -> None:
    records = [
        *RECORDS[:1],
        attempt("r1", True, id="again"),
        attempt("x", False),
        attempt("x", True),
    ]
    assert pairs("outcome", records) == []  # x is right once and wrong once
    (found,) = pairs("outcome", records[:3])
    assert (found.chosen.k, found.chosen.n) == (2, 2)
    assert found.origin.sources == ("again", "p/r1", "p/x")


def test_undecided_unfinished_and_shared_attempts_are_left_out() -> None:
    records = [
        attempt("r", True),
        attempt("u", None),
        attempt("l", False, sample={"finish": "length"}),
        attempt("t", False, role=["tool"]),
    ]
    one = plan("outcome")
    assert one.of_group(records) == []
    assert +one.dropped == {
        "the attempt is undecided": 1,
        "the attempt was cut off": 1,
        "turns of others": 1,
        "problems without two attempts to compare": 1,
    }


def test_shorter_correct_sets_the_shortest_against_longer_ones() -> None:
    records = [
        attempt("abcd", True),
        attempt("xy", True),
        attempt("z", False),
        attempt("abc", True),
    ]
    found = pairs("shorter-correct", records)
    assert sides(found) == [("xy", "abcd"), ("xy", "abc")]
    assert [pair.rejected.value for pair in found] == [0.5, 2 / 3]
    assert (
        sides(pairs("shorter-correct", [attempt("ab", True), attempt("cd", True)])) == []
    )  # a tie


def test_the_order_of_attempts_makes_no_difference() -> None:
    for rule in ("outcome", "shorter-correct"):
        options = {"per_problem": 3}
        assert pairs(rule, RECORDS, **options) == pairs(rule, RECORDS[::-1], **options)
