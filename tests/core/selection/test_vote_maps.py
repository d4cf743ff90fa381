"""Scores that are no probabilities vote through a map, by its formula."""

from __future__ import annotations

import json
from itertools import permutations
from math import exp, inf, log
from statistics import mean
from typing import Any

import pytest
from work import Workdir

from stepkit.core import selection
from stepkit.core.selection import SelectionSettings, VoteMap, parse_map
from stepkit.core.selection.vote_maps import rank_votes, sigmoid
from stepkit.errors import DataError
from stepkit.schema import Json


def attempt(final: str | None, *x: float | None, of: str = "raw", **more: Any) -> Json:
    steps = [f"step {i}\n" for i in range(len(x))]
    record: Json = {"group": "p", "problem": "p", "response": "".join(steps), "steps": steps}
    scores = {"sure": {"of": of, "by": "scorer", "x": list(x)}}
    return {**record, "final": final, "scores": scores, **more}


def choose(records: list[Json], mapped: str | None, **settings: Any) -> list[Json]:
    vote_map = None if mapped is None else parse_map(mapped)
    chosen = SelectionSettings(**{"by": "weighted", **settings}, map=vote_map)
    candidates = [selection.read_candidate(record, chosen) for record in records]
    return [note for note in selection.choose(candidates, chosen, str.__eq__) if note is not None]


SURE = [attempt("a", -1.0), attempt("b", 3.0), attempt("a", 2.0), attempt("c", 0.5)]
"""Answer a has the ranks 4 and 2, b 1, c 3."""


def test_a_sigmoid_is_a_probability() -> None:
    assert sigmoid(0.0) == 0.5
    assert sigmoid(log(3)) == pytest.approx(3 / 4) and sigmoid(-log(3)) == pytest.approx(1 / 4)
    assert (sigmoid(1e308), sigmoid(-1e308)) == (1.0, 0.0)


def test_sigmoids_of_the_steps_are_summed_and_multiplied() -> None:
    group = [attempt("a", 0.0, log(3)), attempt("b", log(4)), attempt("a", -log(3))]
    notes = choose(group, "sigmoid", aggregate="product")
    assert [note["value"] for note in notes] == pytest.approx([3 / 8, 4 / 5, 1 / 4])
    assert [note["rank"] for note in notes] == [1, 0, 2]
    assert [note["share"] for note in notes] == pytest.approx([25 / 57, 32 / 57, 25 / 57])
    best = choose(group, "sigmoid", by="best", aggregate="mean")
    assert [note["value"] for note in best] == pytest.approx([5 / 8, 4 / 5, 1 / 4])
    odds = choose(group, "sigmoid", by="log-weighted", aggregate="min")
    assert [note["share"] for note in odds] == pytest.approx([4 / 16, 12 / 16, 4 / 16])


@pytest.mark.parametrize("t", [1.0, 0.25, 10.0])
def test_a_softmax_over_the_group(t: float) -> None:
    notes = choose(SURE, f"softmax:t={t}")
    parts = [exp(x / t) for x in (-1.0, 3.0, 2.0, 0.5)]
    shares = {"a": parts[0] + parts[2], "b": parts[1], "c": parts[3]}
    expected = [shares[note["answer"]] / sum(parts) for note in notes]
    assert [note["share"] for note in notes] == pytest.approx(expected)
    assert {note["map"] for note in notes} == {f"softmax:t={t:g}"}


def test_a_softmax_of_numbers_that_no_exponential_holds() -> None:
    group = [attempt("a", 1e300), attempt("b", -1e300), attempt("b", 1e300)]
    for mapped in ("softmax", "softmax:t=1e-300"):
        assert [note["rank"] for note in choose(group, mapped)] == [0, 2, 1]


@pytest.mark.parametrize(
    ("power", "first", "shares"),
    [
        # a: ranks 4 and 2 of 4, so 1 + 3 votes; b 4, c 2
        ("rank", "a", [4 / 10, 4 / 10, 4 / 10, 2 / 10]),
        ("rank:p=0", "a", [2 / 4, 1 / 4, 2 / 4, 1 / 4]),
        ("rank:p=2", "b", [10 / 30, 16 / 30, 10 / 30, 4 / 30]),
        ("rank:p=0.5", "a", None),
        ("rank:p=1000", "b", [0, 1, 0, 0]),
    ],
)
def test_borda_votes_with_a_power(power: str, first: str, shares: list[float] | None) -> None:
    """Kang et al.: the attempt on rank r of N has (N - r + 1)^p votes."""
    notes = choose(SURE, power)
    assert next(note["answer"] for note in notes if note["rank"] == 0) == first
    if shares is not None:
        assert [note["share"] for note in notes] == pytest.approx(shares, abs=1e-9)


def test_equal_ones_share_the_votes_of_their_ranks() -> None:
    """As ties that the order breaks give them on average, over all orders."""
    scores, power = [2.0, 1.0, 2.0, 2.0, 0.0, 1.0], 1.7
    found = []
    for order in permutations(range(len(scores))):
        ranking = sorted(order, key=lambda i: -scores[i])  # stable: the first of equal ones
        found.append([(len(scores) - ranking.index(i)) ** power for i in range(len(scores))])
    expected = [mean(column) / len(scores) ** power for column in zip(*found, strict=True)]
    assert rank_votes(scores, power) == pytest.approx(expected)


def test_an_attempt_without_a_score_has_no_rank_and_one_without_an_answer_has() -> None:
    assert rank_votes([1.0, -inf, 3.0], 1) == [0.5, 0.0, 1.0]
    # ranks: b 2, nobody's 3, a 1; the attempt of which nothing is said does not vote
    group = [attempt("a", 1.0), attempt("b", 2.0), attempt(None, 3.0), attempt("a", None)]
    notes = choose(group, "rank")
    assert [note["rank"] for note in notes] == [1, 0, 3, 2]
    assert [note.get("share") for note in notes] == pytest.approx([1 / 3, 2 / 3, None, 1 / 3])


def test_the_dropped_take_no_rank() -> None:
    early = selection.EarlyErrorFilter(1)
    records = [one | {"labels": {"e": {"first": first}}} for one, first in
               zip(SURE, [-1, 0, -1, -1], strict=True)]  # fmt: skip
    notes = choose(records, "rank", early=early)
    # a has the ranks 3 and 1 of 3, c 2
    assert [note.get("share") for note in notes] == pytest.approx([4 / 6, None, 4 / 6, 2 / 6])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tanh", "expected one of sigmoid, softmax, rank"),
        ("rank:1.2", 'rank takes p=NUMBER, not "1.2"'),
        ("rank:p=-1", "p: expected a number from 0 up"),
        ("rank:p=inf", "p: expected a number from 0 up"),
        ("softmax:t=0", "t: expected a number above 0"),
        ("sigmoid:t=1", 'sigmoid takes no parameter, not "t=1"'),
    ],
)
def test_a_map_that_is_none_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_map(text)


def test_maps_are_written_with_their_parameter() -> None:
    assert [str(parse_map(text)) for text in ("sigmoid", "softmax", "rank", "rank:p=1.20")] == [
        *("sigmoid", "softmax:t=1", "rank:p=1", "rank:p=1.2"),
    ]
    assert parse_map("rank:p=0") == VoteMap("rank", 0.0)


@pytest.mark.parametrize(
    ("record", "mapped", "settings", "complaint"),
    [
        (attempt("a", 2.0), None, {}, "cannot be summed as votes without --map"),
        (attempt("a", 2.0), None, {"by": "best", "aggregate": "product"}, "without --map sigmoid"),
        (attempt("a", 2.0), "rank", {"aggregate": "product"}, "without --map sigmoid"),
        (
            attempt("a", 0.5, of="progress"),
            None,
            {},
            "progress, a difference of values, is no probability",
        ),
        (attempt("a", 0.5, of="validity"), "sigmoid", {}, "probabilities already"),
        (attempt("a", 1.5, of="validity"), None, {}, "from 0 to 1, or --map"),
    ],
)
def test_what_cannot_vote_says_why(
    record: Json, mapped: str | None, settings: Json, complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        choose([record], mapped, **settings)


def test_a_confidence_in_nats_is_no_probability() -> None:
    """Not even where all numbers happen to lie between 0 and 1."""
    sure = attempt("a", 0.5, of="confidence")
    sure["scores"]["sure"]["meta"] = {"measure": "self-certainty", "unit": "nats per token"}
    with pytest.raises(DataError, match="numbers in nats per token are no probabilities"):
        choose([sure], None)
    sure["scores"]["sure"]["meta"] = {"unit": "share of the most frequent answer"}
    assert choose([sure], None)[0]["share"] == 1


def test_a_label_of_values_chooses_and_votes() -> None:
    """As step-split --leaves carries it to the steps of each attempt."""

    def valued(final: str, *x: float, **more: Any) -> Json:
        label = {"of": "value", "by": "sampler", "x": list(x), **more}
        return attempt(final, *[0.0] * len(x)) | {"labels": {"value": label}, "scores": {}}

    group = [valued("a", 0.5, 0.25), valued("b", 0.75), valued("a", 0.5, 0.625)]
    for name in ("value", "labels.value"):
        notes = choose(group, None, score=name)
        assert [note["rank"] for note in notes] == [1, 2, 0]
        assert {note["score"] for note in notes} == {"labels.value"}
    assert [note["rank"] for note in choose(group, None, by="best", score="value")] == [2, 0, 1]
    rated = [valued("a", 1, -1)]
    with pytest.raises(DataError, match=r"labels\.value.*from 0 to 1"):
        choose(rated, None, score="value")


# ---- the commands ----------------------------------------------------------------------------


def lines(records: list[Json]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--map", "rank"], "--map rank:p=1 has no effect with --by best"),
        (["--by", "majority", "--map", "sigmoid"], "no effect with --by majority"),
        (["--by", "log-weighted", "--map", "softmax"], "not with --by log-weighted"),
        (["--by", "weighted", "--map", "rank:1"], "'--map': rank takes p=NUMBER"),
        (["--by", "weighted", "--map", "sigmoid", "--aggregate", "sum"], "not with --by weighted"),
    ],
)
def test_maps_without_effect_are_refused(work: Workdir, options: list[str], complaint: str) -> None:
    done = work.run("step-rerank", *options)
    assert (done.status, done.out) == (2, b"")
    assert complaint in done.err


def test_the_commands_agree_on_a_power(work: Workdir) -> None:
    """With p = 1 the answer a is taken, the first of two with 4 votes; with p = 2 b is. In the mean
    over the orders a tie goes to a in two of three cases."""
    graded = [one | {"correct": one["final"] == "a"} for one in SURE]
    work.write("in.jsonl", lines(graded))
    maps = [word for p in "012" for word in ("--map", f"rank:p={p}")]
    asked = ("--curves", "weighted", "--k", "4", "--no-intervals", *maps)
    done = work.run("step-eval", "in.jsonl", *asked, "--against", "rank:p=0")
    rows = [json.loads(line) for line in done.lines]
    values = {row["map"]: row["value"] for row in rows if "map" in row and "against" not in row}
    assert values == pytest.approx({"rank:p=0": 1, "rank:p=1": 2 / 3, "rank:p=2": 0})
    gaps = {row["map"]: row["value"] for row in rows if "against" in row}
    assert gaps == pytest.approx({"rank:p=1": -1 / 3, "rank:p=2": -1})
    for p, answer in ((0, "a"), (1, "a"), (2, "b")):
        done = work.run("step-rerank", "in.jsonl", "--by", "weighted", "--map", f"rank:p={p}")
        (line,) = done.lines
        choice = json.loads(line)["choice"]
        assert (choice["answer"], choice["map"]) == (answer, f"rank:p={p}")


def test_raw_scores_are_measured_through_the_maps_that_are_asked_for(work: Workdir) -> None:
    """Best of k by a sigmoid of the steps is another one than without, where means are taken; a
    map of the group changes nothing about the best one."""
    records = [
        attempt("a", 30.0, -1.0) | {"correct": False},  # mean 14.5; of sigmoids .63
        attempt("b", 2.0, 2.0) | {"correct": True},  # 2; .88
    ]
    asked = ("--k", "2", "--aggregate", "mean", "--no-intervals")
    maps = ("--map", "sigmoid", "--map", "rank:p=2")
    done = work.run("step-eval", *asked, *maps, input=lines(records))
    rows = [json.loads(line) for line in done.lines]
    best = {row.get("map", ""): row["value"] for row in rows if row["measure"] == "best"}
    assert best == {"sigmoid": 1, "": 0}
    votes = {row["map"]: row["value"] for row in rows if row["measure"] == "weighted"}
    assert votes == {"sigmoid": 1, "rank:p=2": 0}
    plain = work.run("step-eval", *asked, input=lines(records))
    assert not [line for line in plain.lines if json.loads(line)["measure"] == "weighted"]


def test_a_vote_by_rank_is_sampled_where_there_are_too_many_subsets(work: Workdir) -> None:
    records = [attempt(str(i % 3), float(i * 7 % 31)) | {"correct": i % 3 == 0} for i in range(31)]
    asked = ("--curves", "weighted", "--map", "rank:p=1", "--k", "2,15,31", "--no-intervals")
    done = work.run("step-eval", *asked, input=lines(records))
    rows = [json.loads(line) for line in done.lines][1:]
    assert [(row["k"], row["exact"], "error" in row) for row in rows] == [
        *((2, True, False), (15, False, True), (31, True, False)),
    ]
