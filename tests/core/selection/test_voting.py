"""Aggregates, votes and tournaments of step-rerank against what they are defined by."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import permutations
from math import exp, log, prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from work import Workdir

from stepkit.core import selection
from stepkit.core.selection import EarlyErrorFilter, SelectionSettings, aggregate
from stepkit.errors import DataError
from stepkit.schema import Json

PROBABILITIES = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=12)


def attempt(name: str, final: str | None, *x: float, **more: Any) -> Json:
    steps = [f"step {i}\n" for i in range(len(x))]
    record: Json = {
        "id": name,
        "group": "p",
        "problem": "p",
        "response": "".join(steps),
        "steps": steps,
    }
    record |= {"final": final, "scores": {"prm": {"of": "validity", "by": "scorer", "x": list(x)}}}
    return {**record, **more}


def same(a: str, b: str) -> bool:
    return a.strip("$") == b.strip("$")


def choose(records: list[Json], keep: int | None = None, **settings: Any) -> list[Json | None]:
    chosen = SelectionSettings(**settings)
    return selection.choose(
        [selection.read_candidate(r, chosen) for r in records], chosen, same, keep
    )


def notes(records: list[Json], **settings: Any) -> list[Json]:
    return [note for note in choose(records, **settings) if note is not None]


def ranks(records: list[Json], **settings: Any) -> list[int]:
    return [note["rank"] for note in notes(records, **settings)]


# ---- aggregates -----------------------------------------------------------------------------


@given(PROBABILITIES)
def test_soft_min_lies_between_minimum_and_mean(scores: list[float]) -> None:
    low, middle = min(scores), sum(scores) / len(scores)
    value = aggregate(scores, "soft-min").value
    assert low - 1e-12 <= value <= middle + 1e-12
    assert aggregate(scores, "soft-min:t=1e-6").value == pytest.approx(low, abs=1e-5)
    assert aggregate(scores, "soft-min:t=1e9").value == pytest.approx(middle)


def test_soft_min_is_the_formula_of_pure() -> None:
    scores = [0.2, -0.5, 0.9]
    weights = [exp(-r / 0.3) for r in scores]
    expected = sum(w * r for w, r in zip(weights, scores, strict=True)) / sum(weights)
    assert aggregate(scores, "soft-min:t=0.3").value == pytest.approx(expected)
    assert aggregate([-5000.0, 1.0], "soft-min").value == -5000.0  # no overflow on raw rewards


@given(PROBABILITIES)
def test_logits_are_the_logarithm_of_the_product_of_odds(scores: list[float]) -> None:
    odds = prod(p / (1 - p) for p in scores)
    assert aggregate(scores, "logits").value == pytest.approx(log(odds), abs=1e-9)


def test_certain_scores_have_finite_odds() -> None:
    assert aggregate([1.0], "logits").value == pytest.approx(log(1e7), abs=1e-6)
    assert aggregate([0.0, 1.0], "logits").value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("how", "value"),
    [
        ("sum", 1.9),
        ("window", 1.5 / 3),
        ("window:size=2", 0.4),
        ("window:size=2,of=min", 0.2),
        ("window:size=9,of=min", 0.2),
    ],
)
def test_sums_and_windows(how: str, value: float) -> None:
    assert aggregate([0.4, 0.7, 0.6, 0.2], how).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("median", "expected one of min, product"),
        ("min:t=1", "no parameter"),
        ("product:", "no parameter"),
        ("soft-min:t=0", "above 0"),
        ("soft-min:t=nan", "above 0"),
        ("window:size=0", "from 1 up"),
        ("window:of=max", "mean or min"),
    ],
)
def test_what_is_no_aggregate(work: Workdir, how: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        aggregate([0.5], how)
    done = work.run("step-rerank", "--aggregate", how)
    assert done.status == 2
    assert f"--aggregate {how}: " in done.err and complaint in done.err


def test_total_is_what_the_scorer_said_of_the_whole() -> None:
    group = [attempt("a", "1", 0.9), attempt("b", "2", 0.1)]
    for record, total in zip(group, (0.3, 0.8), strict=True):
        record["scores"]["prm"]["total"] = total
    assert [note["value"] for note in notes(group, aggregate="total")] == [0.3, 0.8]
    del group[0]["scores"]["prm"]["total"]
    with pytest.raises(DataError, match=r"scores\.prm\.total"):
        choose(group, aggregate="total")


def test_hierarchical_weighs_both_levels_alike() -> None:
    record = attempt("a", "1", 0.9, 0.2, 0.7)
    with pytest.raises(DataError, match=r"scores\.prm\.consecutive"):
        choose([record], aggregate="hierarchical")
    record["scores"]["prm"]["consecutive"] = [0.5, 0.9]
    (note,) = notes([record], aggregate="hierarchical")
    assert note["value"] == pytest.approx((0.6 + 0.7) / 2)
    (note,) = notes([attempt("a", "1", 0.4)], aggregate="hierarchical")
    assert note["value"] == 0.4
    record["role"] = ["assistant", "tool", "assistant"]  # no two consecutive steps of its own
    (note,) = notes([record], aggregate="hierarchical")
    assert note["value"] == pytest.approx(0.8)


# ---- votes ----------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 0.99)), min_size=1, max_size=9))
def test_log_weighted_votes_with_odds(ballots: list[tuple[str, float]]) -> None:
    group = [attempt(str(i), final, p) for i, (final, p) in enumerate(ballots)]
    odds: Counter[str] = Counter()
    for final, p in ballots:
        odds[final] += p / (1 - p)  # type: ignore[assignment]
    found = notes(group, by="log-weighted")
    for (final, _), note in zip(ballots, found, strict=True):
        assert note["share"] == pytest.approx(odds[final] / sum(odds.values()))
    winner = next(note for note in found if note["rank"] == 0)
    assert odds[winner["answer"]] == pytest.approx(max(odds.values()))


def test_log_weighted_takes_sums_of_logits_and_products_as_they_are() -> None:
    group = [attempt("0", "a", 0.8, 0.7), attempt("1", "b", 0.9, 0.3), attempt("2", "b", 0.5, 0.5)]
    weights = [4 * 7 / 3, 9 * 3 / 7, 1.0]
    found = notes(group, by="log-weighted", aggregate="logits")
    assert found[0]["share"] == pytest.approx(weights[0] / sum(weights))
    p = [0.56, 0.27, 0.25]
    odds = [x / (1 - x) for x in p]
    found = notes(group, by="log-weighted", aggregate="product")
    assert found[0]["share"] == pytest.approx(odds[0] / sum(odds))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 6)), min_size=1, max_size=9),
       st.integers(1, 9))  # fmt: skip
def test_complexity_is_the_majority_of_the_longest(chains: list[tuple[str, int]], k: int) -> None:
    group = [attempt(str(i), final, *[0.5] * size) for i, (final, size) in enumerate(chains)]
    longest = sorted(range(len(chains)), key=lambda i: (-chains[i][1], i))[:k]
    votes = Counter(chains[i][0] for i in sorted(longest))
    found = notes(group, by="complexity", longest=k)
    winner = next(i for i, note in enumerate(found) if note["rank"] == 0)
    assert winner in longest
    assert chains[winner][0] == votes.most_common(1)[0][0]  # of equal counts the first seen
    first = {note["rank"] for i, note in enumerate(found) if i in longest}
    assert first == set(range(len(longest)))


def test_subthought_counts_the_endings_of_all_attempts() -> None:
    group = [attempt("0", "7", 0.5), attempt("1", "9", 0.5), attempt("2", "$9$", 0.5)]
    for record, endings in zip(group, ({"7": 2, "9": 1}, {"9": 1}, {"8": 1, "9": 2}), strict=True):
        record["labels"] = {"subthought": {"of": "raw", "meta": {"answers": endings}}}
    found = notes(group, by="subthought")
    assert [note["rank"] for note in found] == [2, 1, 0]
    assert {(note["answer"], note["votes"]) for note in found} == {("9", 4)}
    assert found[0]["share"] == pytest.approx(4 / 7)
    # nobody's own answer: then who came there most often, and the answer is that of the vote
    found = notes([group[0] | {"final": None}, group[2] | {"final": "8"}], by="subthought")
    assert [(note["rank"], note["answer"]) for note in found] == [(1, "9"), (0, "9")]


def test_subthought_reads_what_the_rollout_wrote() -> None:
    with pytest.raises(DataError, match="method subthought"):
        choose([attempt("0", "7", 0.5)], by="subthought")


# ---- tournaments ----------------------------------------------------------------------------


def judged(strengths: list[float], pairs: set[tuple[int, int]] | None = None) -> list[Json]:
    """Attempts with verdicts by Bradley and Terry's law, on all pairs or on some."""
    group = [attempt(str(i), str(i), 0.5) for i in range(len(strengths))]
    for i, record in enumerate(group):
        record["verdicts"] = {
            "judge": [
                {"against": str(j), "p": 1 / (1 + exp(strengths[j] - strengths[i])), "n": 1}
                for j in range(len(group))
                if i != j and (pairs is None or {(i, j), (j, i)} & pairs)
            ]
        }
    return group


@pytest.mark.parametrize("by", ["knockout", "elimination"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_the_strongest_wins_from_every_place(by: str, size: int) -> None:
    for order in permutations(range(size)):
        found = notes(judged([float(x) for x in order]), by=by)
        assert found[order.index(size - 1)]["rank"] == 0
        if by == "elimination":  # with all verdicts it is the whole order
            assert [note["rank"] for note in found] == [size - 1 - x for x in order]


def test_a_knockout_needs_the_verdicts_of_its_bracket_only() -> None:
    found = notes(judged([0, 3, 2, 1, 5], {(0, 1), (2, 3), (1, 2), (1, 4)}), by="knockout")
    assert [note["rounds"] for note in found] == [0, 2, 1, 0, 3]
    assert [note["rank"] for note in found] == [3, 1, 2, 4, 0]
    assert found[4]["reason"] == "rounds"


def test_an_undecided_match_goes_to_the_first() -> None:
    found = notes(judged([0, 3, 0, 1], {(2, 3)}), by="knockout")
    assert [note["rank"] for note in found] == [0, 2, 3, 1]
    assert ranks(judged([1, 1, 1]), by="elimination") == [0, 1, 2]


def test_elimination_looks_only_at_who_is_left() -> None:
    """2 has the lowest mean against all; without it, 0 loses to 1 although its mean was higher."""
    chances = {(0, 1): 0.4, (0, 2): 0.9, (1, 2): 0.6}
    group = [attempt(str(i), "x", 0.5) for i in range(3)]
    for i, record in enumerate(group):
        own = [
            (b if a == i else a, p if a == i else 1 - p)
            for (a, b), p in chances.items()
            if i in (a, b)
        ]
        record["verdicts"] = {"judge": [{"against": str(j), "p": p} for j, p in own]}
    assert ranks(group, by="elimination") == [1, 0, 2]


def test_several_verdicts_on_a_pair_count_by_their_n() -> None:
    group = judged([0, 0])
    group[0]["verdicts"] = {
        "judge": [{"against": "1", "p": 0.2, "n": 1}, {"against": "1", "p": 0.8, "n": 3}]
    }
    group[1]["verdicts"] = {"judge": [{"against": "0", "p": 0.35, "n": 4}]}
    assert [note["chance"] for note in notes(group, by="knockout")] == pytest.approx([0.65, 0.35])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"verdicts": None}, "step-score"),
        ({"verdicts": {"a": [], "b": []}}, "--score NAME"),
        ({"verdicts": {"judge": [{"against": 1}]}}, r"verdicts.judge\[0\]"),
        ({"verdicts": {"judge": [{"against": "1", "p": 1.5}]}}, r"\.p"),
        ({"verdicts": {"judge": [{"against": "1", "p": 0.5, "n": 0}]}}, r"\.n"),
        ({"verdicts": {"judge": [{"against": "1", "p": 0.9}]}}, "add up to 1"),
        ({"id": "1"}, 'the id "1"'),
    ],
)
def test_verdicts_that_make_no_tournament(change: Json, complaint: str) -> None:
    group = judged([0.0, 0.0])
    group[0] |= change
    with pytest.raises(DataError, match=complaint):
        choose(group, by="knockout")


def test_no_verdict_at_all_is_no_tournament() -> None:
    with pytest.raises(DataError, match="no verdict"):
        choose(judged([0, 1], set()), by="elimination")


# ---- dropping, keeping, reasons -------------------------------------------------------------


def flagged(name: str, final: str, p: float, first: int | None, size: int = 4) -> Json:
    label = {"of": "validity", "x": [None] * size, "first": first}
    return attempt(name, final, *[p] * size, labels={"first": label})


def test_early_errors_are_dropped_and_do_not_vote() -> None:
    group = [flagged("0", "a", 0.9, 0), flagged("1", "a", 0.8, 1), flagged("2", "b", 0.5, 2),
             flagged("3", "c", 0.4, -1), flagged("4", "c", 0.1, None)]  # fmt: skip
    found = notes(group, early=EarlyErrorFilter(2))
    assert [note["rank"] for note in found] == [3, 4, 0, 1, 2]
    assert [note["dropped"] for note in found] == [True, True, False, False, False]
    assert [note["reason"] for note in found] == ["error", "value", "value", "value", "value"]
    found = notes(group, by="majority", early=EarlyErrorFilter(2))
    assert [note["rank"] for note in found] == [3, 4, 2, 0, 1]
    assert found[0]["votes"] == 0
    assert [n["dropped"] for n in notes(group, early=EarlyErrorFilter(0.5, share=True))] == [
        *(True, True, False, False, False)
    ]


def test_where_all_would_be_dropped_the_latest_stay() -> None:
    group = [flagged("0", "a", 0.9, 0), flagged("1", "b", 0.2, 1), flagged("2", "b", 0.3, 1)]
    found = notes(group, early=EarlyErrorFilter(3))
    assert [note["rank"] for note in found] == [2, 1, 0]
    assert {note["dropped"] for note in found} == {"all"}


@pytest.mark.parametrize(
    ("labels", "label", "complaint"),
    [
        ({}, None, "which first error"),
        ({"a": {"first": 1}, "b": {"first": 1}}, None, "a, b; choose with --label"),
        ({"a": {"first": 1}}, "b", "labels.b"),
        ({"a": {"first": 4}}, None, "labels.a.first"),
        ({"a": {"first": 1.5}}, None, "labels.a.first"),
        ({"a": {"first": 1}}, "prm", "scores.prm.*no first error"),
    ],
)
def test_a_first_error_must_be_there(labels: Json, label: str | None, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        choose(
            [flagged("0", "a", 0.5, 1) | {"labels": labels}], early=EarlyErrorFilter(2, label=label)
        )


def test_the_first_error_that_a_checker_names_drops_an_attempt() -> None:
    """It stands in a score. Unasked it is taken where no label has one."""

    def checked(name: str, first: int | None) -> Json:
        check = {"of": "validity", "by": "scorer", "x": [1.0] * 3, "first": first}
        record = attempt(name, "a", 0.5, 0.5, 0.5)
        return record | {"scores": record["scores"] | {"check": check}}

    group = [checked("0", 0), checked("1", None), checked("2", -1), checked("3", 2)]
    for label in (None, "check", "scores.check"):
        found = notes(group, score="prm", early=EarlyErrorFilter(2, label=label))
        assert [note["dropped"] for note in found] == [True, False, False, False]
    labelled = [
        one | {"labels": {"first": {"first": 2 - i % 2 * 2}}} for i, one in enumerate(group)
    ]
    found = notes(labelled, score="prm", early=EarlyErrorFilter(2))
    assert [note["dropped"] for note in found] == [False, True, False, True]


@given(st.data())
def test_keeping_k_is_the_first_k_of_all(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 7))
    rng = random.Random(data.draw(st.integers(0, 1000)))
    group = [flagged(str(i), rng.choice("abc"), rng.choice([0.2, 0.5, 0.8]), rng.choice([-1, 0, 2]))
             for i in range(size)]  # fmt: skip
    by = data.draw(st.sampled_from(["best", "majority", "weighted", "log-weighted", "complexity"]))
    settings: Json = {
        "by": by,
        "longest": 3,
        "early": data.draw(st.sampled_from([None, EarlyErrorFilter(1)])),
    }
    everyone = choose(group, **settings)
    assert sorted(note["rank"] for note in everyone if note) == list(range(size))
    keep = data.draw(st.integers(1, 7))
    kept = choose(group, keep=keep, **settings)
    assert kept == [note if note and note["rank"] < keep else None for note in everyone]


def test_reasons_tell_what_decided() -> None:
    group = [attempt("0", "a", 0.5), attempt("1", "b", 0.7), attempt("2", "b", 0.7)]
    assert [n["reason"] for n in notes(group)] == ["value", "order", "order"]
    assert [n["reason"] for n in notes(group, by="majority")] == ["votes", "order", "order"]
    assert [n["reason"] for n in notes(group, by="weighted")] == ["share", "order", "order"]


# ---- the command ----------------------------------------------------------------------------


def lines(work: Workdir, records: list[Json]) -> None:
    work.write("in.jsonl", "".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            ["--by", "majority", "--aggregate", "min"],
            "--aggregate has no effect with --by majority",
        ),
        (
            ["--by", "knockout", "--aggregate", "min"],
            "--aggregate has no effect with --by knockout",
        ),
        (["--by", "subthought", "--score", "x"], "--score has no effect with --by subthought"),
        (["--longest", "3"], "--longest has no effect with --by best"),
        (["--by", "complexity"], "--by complexity needs --longest K"),
        (["--by", "weighted", "--aggregate", "sum"], "not with --by weighted"),
        (["--by", "log-weighted", "--aggregate", "sum"], "not with --by log-weighted"),
        (["--keep", "2", "--all"], "exclude each other"),
        (["--label", "x"], "--label has no effect without --drop-before"),
        (["--drop-before", "0"], "--drop-before 0: expected"),
        (["--drop-before", "150%"], "--drop-before 150%: expected"),
        (["--drop-before", "early"], "--drop-before early: expected"),
    ],
)
def test_options_without_effect_are_refused(
    work: Workdir, options: list[str], complaint: str
) -> None:
    done = work.run("step-rerank", *options)
    assert (done.status, done.out) == (2, b"")
    assert complaint in done.err and done.err.count("\n") == 1


def test_command_keeps_k_in_input_order(work: Workdir) -> None:
    group = [flagged("0", "a", 0.2, 0), flagged("1", "b", 0.8, -1), flagged("2", "c", 0.9, -1)]
    lines(work, group)
    done = work.run("step-rerank", "in.jsonl", "--keep", "2", "--drop-before", "1.0")
    assert (done.status, done.err) == (0, "")
    assert [json.loads(line)["id"] for line in done.lines] == ["1", "2"]
    done = work.run("step-rerank", "in.jsonl", "--keep", "9", "--drop-before", "50%")
    assert [json.loads(line)["choice"]["rank"] for line in done.lines] == [2, 1, 0]


def test_command_runs_a_tournament(work: Workdir) -> None:
    lines(work, judged([0, 2, 1]))
    done = work.run("step-rerank", "in.jsonl", "--by", "elimination")
    assert done.status == 0
    (line,) = done.lines
    choice = json.loads(line)["choice"]
    assert (choice["by"], choice["score"], choice["rounds"], choice["reason"]) == (
        *("elimination", "judge", 2, "rounds"),
    )


def test_memory_does_not_grow_with_the_input(work: Workdir) -> None:
    """Ten times the groups take no more than an entry each, whatever the attempts weigh."""
    import os
    import subprocess
    import sys

    def peak(groups: int) -> int:
        record = attempt("0", "a", 0.5) | {"mine": "x" * 2000}
        with open(work.path / "big.jsonl", "w") as file:
            for number in range(groups):
                line = json.dumps(record | {"group": f"p{number}"}) + "\n"
                file.write(line * 4)
        script = os.path.join(os.path.dirname(sys.executable), "step-rerank")
        with open(os.devnull, "wb") as nowhere:
            process = subprocess.Popen([script, "-q", str(work.path / "big.jsonl")], stdout=nowhere)
            _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        return usage.ru_maxrss  # KiB

    small, large = peak(500), peak(5000)
    assert large - small < 5000  # 40 MB of input more
