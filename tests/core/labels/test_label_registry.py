"""The labels of the table: against formulas computed another way, by hand, and by simulation."""

from __future__ import annotations

import random
from itertools import combinations
from math import exp, log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from labelling import error, one, trace
from work import ROOT, Workdir

from stepkit.core import labels
from stepkit.core import tree as trees
from stepkit.core.labels import stopping_bias
from stepkit.core.labels.first_error import first_tested
from stepkit.core.labels.first_error_registry import RULES, first_error_usage, parse_first_error
from stepkit.core.labels.label_registry import LABELS
from stepkit.core.stats import RateEstimate, best_of, drop_score, wilson
from stepkit.errors import UsageError
from stepkit.schema import Json


def made(text: str, record: Json, **settings: Any) -> Json:
    """The one label asked for."""
    found = one(record, text, **settings)
    assert len(found) == 1
    return next(iter(found.values()))


def shares(*counts: tuple[int, int]) -> dict[int, list[float | None]]:
    """Draws at state 0, 1, ..: k right of n."""
    return {state: [*[1.0] * k, *[0.0] * (n - k)] for state, (k, n) in enumerate(counts)}


# ---- asking ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no label"),
        ("mean", 'no label "mean"; labels are value, soft'),
        ("value:", ""),
        ("value:z", "expected PARAMETER=VALUE"),
        ("value:z=", "expected PARAMETER=VALUE"),
        ("value:z=x", "expected a number from 0 to 100"),
        ("value:z=nan", "expected a number"),
        ("value:y=1", "no parameter y; value has z, as, sampler, backup, from, root"),
        ("value:z=1,z=2", "z is given twice"),
        ("best-of:k=0", "expected a whole number from 1"),
        ("best-of:k=1.5", "expected a whole number"),
        ("gae:lambda=2", "from 0 to 1"),
        ("weighted:reward=both", "expected one of hard, soft"),
        ("soft:backup=median", "expected one of draws, leaves, mean"),
        ("best-of:backup=max", "it can only be draws, pooled"),
        ("threshold:z=1,backup=max", "it can only be draws, pooled"),
        ("effective:backup=later", "it can only be draws, pooled"),
        ("hard:backup=q", "it can only be draws, leaves, mean, max, visits, pooled"),
        ("soft:as=gold", "labels.gold"),
    ],
)
def test_a_bad_label_is_explained(text: str, complaint: str) -> None:
    if not complaint:
        assert labels.parse_all([text])
        return
    with pytest.raises(UsageError, match=r"--label ") as caught:
        labels.parse_all([text])
    assert complaint in str(caught.value)


def test_one_name_twice_is_refused_and_the_same_text_twice_is_once() -> None:
    with pytest.raises(UsageError, match="as=NAME"):
        labels.parse_all(["best-of:k=2", "best-of:k=4"])
    assert len(labels.parse_all(["soft", "soft"])) == 1
    both = labels.parse_all(["best-of:k=2", "best-of:k=4,as=four"])
    assert [label.name for label in both] == ["best-of", "four"]


def test_meta_says_how_a_label_was_made() -> None:
    record = trace(["a", "b"], shares((1, 2), (1, 2)))
    assert made("threshold:above=0.25,as=easy", record)["meta"] == {
        "sampler": "aa", "undecided": "apart", "label": "threshold", "above": 0.25, "z": 0.0,
        "interval": "none: a class",
    }  # fmt: skip
    assert made("soft:backup=leaves", record)["meta"]["backup"] == "leaves"


def test_the_listing_has_every_label_and_parameter() -> None:
    listing = labels.listing()
    for row in LABELS:
        assert f"\n{row.name} " in f"\n{listing}"
        assert row.source in listing
        for parameter in row.parameters:
            assert f" {parameter.name} " in listing
    for rule in RULES:
        assert f"\n{rule.name} " in listing
        assert rule.parameter is None or f" {rule.parameter.name} " in listing


def test_a_rule_for_the_first_error_is_named_wherever_people_look(work: Workdir) -> None:
    manual = (ROOT / "man" / "step-label.1").read_text()
    wrong = work.run("step-label", "--first", "nonsense").err
    usage = " ".join(work.run("step-label", "--help").out.decode().split())
    assert first_error_usage() in usage
    for rule in RULES:
        assert f".Cm {rule.name}" in manual and rule.bounded_usage in wrong


# ---- states ---------------------------------------------------------------------------------


def test_threshold_and_ternary() -> None:
    record = trace(list("abcd"), shares((4, 8), (8, 8), (4, 8), (0, 8)), 1.0)
    assert made("threshold", record)["x"] == [1, 0, 0, 1]  # 1/2 is not above 1/2
    assert made("threshold:above=0", record)["x"] == [1, 1, 0, 1]
    assert made("threshold:z=1.96", record)["x"] == [1, None, 0, 1]
    assert made("ternary", record)["x"] == [1, 0, -1, 1]
    assert made("ternary", record)["root"]["x"] == 0
    empty = trace(["a", "b"], {0: [1.0]}, None)
    for label in ("threshold", "threshold:z=1", "ternary"):
        assert made(label, empty)["x"] == [None, None]


@pytest.mark.parametrize(("k", "n"), [(0, 4), (1, 4), (3, 6), (6, 6), (5, 8)])
@pytest.mark.parametrize("draws", [1, 2, 4])
def test_best_of_is_the_share_of_subsets(k: int, n: int, draws: int) -> None:
    outcomes = [1] * k + [0] * (n - k)
    subsets = [max(subset) for subset in combinations(outcomes, draws)]
    assert best_of(k, n, draws) == pytest.approx(sum(subsets) / len(subsets))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_best_of_is_unbiased_and_the_plug_in_is_not(p: float) -> None:
    """Exactly, by summing over all counts: E = 1 - (1 - p)^K."""
    n, draws = 8, 4
    expected = plugged = 0.0
    for outcome in range(2**n):
        k = outcome.bit_count() if hasattr(int, "bit_count") else bin(outcome).count("1")
        weight = p**k * (1 - p) ** (n - k)
        expected += weight * best_of(k, n, draws)
        plugged += weight * (1 - (1 - k / n) ** draws)
    assert expected == pytest.approx(1 - (1 - p) ** draws)
    assert plugged < expected - 0.01


@pytest.mark.parametrize(("k", "n", "draws"), [(1, 2, 3), (3, 2, 1), (0, 0, 1), (1, 2, 0)])
def test_best_of_refuses_what_cannot_be_estimated(k: int, n: int, draws: int) -> None:
    with pytest.raises(ValueError):
        best_of(k, n, draws)


def test_best_of_says_where_draws_are_lacking() -> None:
    record = trace(["a", "b", "c"], shares((1, 4), (0, 2), (2, 4)), 0.0)
    label = made("best-of:k=3", record)
    assert label["x"] == [None, 1.0, 0.0]
    assert label["root"]["x"] == 1 - 1 / 4
    assert label["why"] == ["best of 3 needs 3 decided draws, 2 here", None, None]
    assert "why" not in made("best-of:k=2", record)
    fractional = trace(["a", "b"], {1: [0.5, 0.25]})
    assert "right or wrong" in error(fractional, "best-of")


@given(
    some.lists(some.floats(-2, 2), min_size=1, max_size=6), some.sampled_from([-3.0, 0.5, 1.0, 4.0])
)
def test_entropy_is_the_log_mean_exp(outcomes: list[float], eta: float) -> None:
    record = trace(["a", "b"], {1: list(outcomes)})
    expected = log(sum(exp(eta * r) for r in outcomes) / len(outcomes)) / eta
    found = made(f"entropy:eta={eta}", record)["x"][0]
    assert found == pytest.approx(expected, abs=1e-9)
    assert min(outcomes) - 1e-9 <= found <= max(outcomes) + 1e-9


def test_entropy_has_its_closed_form_its_limits_and_no_overflow() -> None:
    record = trace(["a", "b"], shares((1, 2), (3, 4)), 1.0)
    assert made("entropy", record)["x"] == [pytest.approx(log(1 - 0.75 + 0.75 * exp(1))), 1.0]
    assert made("entropy:eta=0", record)["x"][0] == 0.75
    assert made("entropy:eta=100", record)["x"][0] == pytest.approx(1.0, abs=0.01)
    assert made("entropy:eta=-100", record)["x"][0] == pytest.approx(0.0, abs=0.02)
    undecided = trace(["a", "b"], {1: [1.0, None]})
    assert made("entropy", undecided)["x"][0] == pytest.approx(1.0)
    wrong = made("entropy", undecided, undecided="wrong")["x"][0]
    assert wrong == pytest.approx(log((exp(1) + 1) / 2))


def test_sorm_carries_a_success_back() -> None:
    record = trace(list("abcd"), shares((0, 2), (0, 2), (1, 2), (0, 2)), 0.0)
    label = made("sorm", record)
    assert label["x"] == [1, 1, 0, 0] and label["first"] == 2
    assert label["root"]["x"] == 1
    assert made("hard", record)["x"] == [0, 1, 0, 0]
    right = trace(list("ab"), shares((0, 2), (0, 2)), 1.0)
    assert made("sorm", right)["x"] == [1, 1] and made("sorm", right)["first"] == -1
    gap = trace(list("abc"), shares((1, 2), (0, 0), (0, 2)), 0.0)
    assert made("sorm", gap)["x"] == [None, 0, 0] and made("sorm", gap)["first"] is None


def test_scan_softens_just_before_the_error() -> None:
    counts = shares((4, 5), (1, 8), (8, 8), (4, 8), (2, 8), (0, 8), (0, 8))
    wrong = made("scan", trace(list("abcdefg"), counts, 0.0))
    assert wrong["x"] == [
        1.0,
        1.0,
        pytest.approx(0.5 / 0.8),
        pytest.approx(0.25 / 0.8),
        0.0,
        None,
        None,
    ]
    assert wrong["first"] == 4 and wrong["root"]["x"] == 0.8
    high = made("scan:window=3", trace(list("abcdefg"), counts, 0.0))
    assert high["x"][:3] == [1.0, 1.0, pytest.approx(0.625)]  # 8 of 8 over 0.8 is 1 at most
    assert made("scan", trace(list("abcdefg"), counts, 1.0))["x"] == [1.0] * 7
    hard_problem = shares((1, 5), (8, 8), (0, 8))
    for verdict in (0.0, 1.0):
        assert made("scan", trace(list("abc"), hard_problem, verdict))["x"] == [None] * 3
    assert made("scan:least=0.2", trace(list("abc"), hard_problem, 0.0))["x"] == [1.0, 0.0, None]
    assert made("scan", trace(list("abc"), counts, None))["x"] == [None] * 3


def test_the_values_of_a_right_attempt_rise_evenly() -> None:
    """ReST-MCTS*: without a shorter way v is 1/T, 2/T, .. 1 (their remark on eq. 2)."""
    record = trace(["a\n", "b\n", "c\n", "d"], shares((0, 2), (1, 2), (1, 2), (1, 2)), 1.0)
    record["split"] = {"by": "lines"}
    tree = record["tree"]
    for node, whole in enumerate(tree["whole"]):
        if whole:
            tree["text"][node] = "x\n" * (9 - tree["parent"][node])  # every other way is longer
    assert made("weighted", record)["x"] == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1.0])
    assert made("weighted", record)["root"]["x"] == 0.0


def test_weighted_values_by_hand() -> None:
    record = trace(["a\n", "b\n", "c"], shares((1, 1), (1, 1), (0, 1)), 0.0)
    record["split"] = {"by": "lines"}
    tree = record["tree"]
    tree["text"][tree["draw"].index(0)] = "p\nq\nr\ns"  # four steps from the root
    tree["text"][5] = "p\nq"  # two from after the first step
    first = 1 / 3  # m = 2
    second = first - (1 - first) / 3  # wrong; m stays that of the state before
    assert made("weighted", record)["x"] == pytest.approx([first, max(second, 0), 0.0])
    soft = made("weighted:reward=soft", record)["x"]
    assert soft[0] == pytest.approx(first)
    del record["split"]
    assert "step-split" in error(record, "weighted")
    never = trace(["a", "b"], shares((0, 2), (0, 2)), 0.0)
    assert made("weighted", never)["x"] == [0.0, 0.0]
    unknown = trace(["a", "b", "c"], shares((0, 2), (0, 0), (0, 2)), 0.0)
    assert made("weighted", unknown)["x"] == [None, None, None]


# ---- steps ----------------------------------------------------------------------------------


def test_progress_under_the_best_of_k() -> None:
    record = trace(["a", "b", "c"], shares((1, 4), (3, 4), (0, 4)), 0.0)
    assert made("progress", record)["x"] == [0.5, -0.75, 0.0]
    best = [1 - 3 / 6, 1 - 0 / 6, 0.0]  # of two: pairs without a right one
    assert made("progress:k=2", record)["x"] == pytest.approx(
        [best[1] - best[0], best[2] - best[1], 0.0]
    )
    assert made("progress:k=5", record)["x"] == [None, None, None]


def two_provers() -> Json:
    record = trace(["a", "b"], shares((1, 2), (1, 2)), 1.0)
    by = trees.sampler_index(record["tree"], {"id": "weak"})
    for state, outcomes in shares((1, 4), (3, 4)).items():
        for number, outcome in enumerate(outcomes):
            trees.add(
                record["tree"], state, "", whole=True, finish="stop", outcome=outcome, by=by,
                draw=number,
            )  # fmt: skip
    return record


def test_effective_reward_mixes_two_samplers() -> None:
    record = two_provers()
    label = made("effective:sampler=aa,prover=weak,k=1,alpha=0.5", record)
    assert label["x"] == [0.5 + 0.5 * 0.5, 1.0 + 0.5 * 0.25]
    assert label["meta"]["sampler"] == "aa" and label["meta"]["prover"] == "weak"
    best = made("effective:sampler=aa,prover=weak,k=2,alpha=1", record)
    assert best["x"][0] == pytest.approx(0.5 + (1 - 0) - (1 - 3 / 6))
    assert made("progress:sampler=weak", record)["x"] == [0.5, 0.25]
    assert "choose one" in error(record, "progress")
    assert 'no sampler "x"' in error(record, "effective:sampler=aa,prover=x")


def test_relative_progress_without_a_ratio_is_null() -> None:
    record = trace(list("abcd"), shares((5, 10), (4, 10), (0, 10), (3, 10)), 1.0)
    label = made("relative", record)
    assert label["ratio"] == [pytest.approx(0.8), 0.0, None, pytest.approx(1 / 0.3)]
    assert label["x"] == [1, 0, None, 1]
    assert made("relative:least=0.9", record)["x"] == [0, 0, None, 1]


def test_look_ahead_credits_the_step_that_prepared() -> None:
    flat = shares((2, 4), (2, 4), (2, 4), (3, 4), (3, 4))
    label = made("lookahead", trace(list("abcde"), flat, 1.0))
    assert label["x"] == pytest.approx([0.25 * 0.49, 0.25 * 0.7, 0.25, 0.25 * 0.7, 0.25])
    near = made("lookahead:window=1", trace(list("abcde"), flat, 1.0))
    assert near["x"] == pytest.approx([0.0, 0.25 * 0.7, 0.25, 0.25 * 0.7, 0.25])
    gap = made("lookahead", trace(list("abc"), shares((2, 4), (2, 4), (0, 0)), 1.0))
    assert gap["x"] == [None, None, None]


def test_pivotal_steps_and_the_first_fall() -> None:
    counts = shares((32, 64), (60, 64), (58, 64), (5, 64))
    label = made("pivotal", trace(list("abcd"), counts, 0.0))
    assert label["x"] == [1, 0, -1, 0] and label["first"] == 2
    assert label["z"][2] > 1.645
    few = made("pivotal", trace(list("ab"), shares((2, 2), (0, 2)), 0.0))
    assert few["x"][0] == 0 and few["first"] == -1  # two against none is no proof
    unknown = made("pivotal", trace(list("abc"), shares((9, 9), (0, 0), (0, 9)), 0.0))
    assert unknown["x"][:2] == [None, None] and unknown["first"] is None


@pytest.mark.parametrize("p", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("n", [8, 16, 64])
def test_pivotal_keeps_its_error_rate(n: int, p: float) -> None:
    """Exactly, over all counts: two equal rates look like a fall in at most some 5 % of cases."""
    from math import comb

    chance = [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    false = plain = 0.0
    for a in range(n + 1):
        for b in range(n + 1):
            weight = chance[a] * chance[b]
            false += weight * (
                drop_score(RateEstimate.counted(a, n), RateEstimate.counted(b, n), 0.0) > 1.645
            )
            variance = (a * (n - a) + b * (n - b)) / n**3
            plain += weight * ((a - b) / n > 1.645 * variance**0.5)
    assert false < 0.065
    assert false <= plain + 1e-12


def test_advantages_are_those_of_the_core() -> None:
    record = trace(["a", "b"], shares((1, 2), (1, 4)), 1.0)
    assert made("gae:lambda=0", record)["x"] == made("progress", record)["x"]
    assert made("gae:lambda=1", record)["x"] == [0.5, 0.75]
    label = made("return:gamma=0.5,lambda=1", record)
    assert label["x"] == [1.0, 1.0] and label["root"]["x"] == 0.5
    assert label["n"] == [4, 1]


# ---- several sources ------------------------------------------------------------------------


def test_consensus_of_draws_a_judge_and_people() -> None:
    record = trace(list("abc"), shares((2, 2), (2, 2), (0, 2)), 0.0)
    record["scores"] = {
        "judge": {"of": "validity", "by": "scorer", "x": [0.9, 0.4, 0.1]},
        "late": {"of": "validity", "by": "scorer", "x": [0.9, 0.8, 0.1], "first": 2},
    }
    record["labels"] = {"gold": {"of": "validity", "by": "human", "first": 1}}
    found = one(record, "hard", "consensus:of=hard+judge+gold")["consensus"]
    assert found["x"] == [1, 0, None] and found["first"] == 1 and "why" not in found
    assert found["meta"]["sources"] == {"hard": 1, "judge": 1, "gold": 1}
    parted = one(record, "hard", "consensus:of=hard+late")["consensus"]
    assert parted["x"] == [None] * 3 and parted["first"] is None
    assert parted["why"] == "hard: step 1, late: step 2" and parted["meta"]["kind"] == "position"
    strict = one(record, "hard", "consensus:of=hard+judge,below=0.3")["consensus"]
    assert strict["why"] == "hard: step 1, judge: step 2"
    assert 'field "scores.hard"' in error(record, "consensus:of=hard+judge")
    alone = one(record, "hard", "consensus:of=hard")["consensus"]
    assert alone["x"] == [1, 0, None] and alone["meta"]["sources"] == {"hard": 1}
    del record["tree"]
    assert made("consensus:of=judge+gold", record)["first"] == 1
    record["labels"]["gold"]["first"] = 7
    assert "labels.gold.first" in error(record, "consensus:of=judge+gold")


# ---- the first error with its probability ---------------------------------------------------


def test_first_by_posterior() -> None:
    record = trace(list("abcd"), shares((8, 8), (8, 8), (0, 8), (0, 8)), 0.0)
    entry = one(record, "soft", first=parse_first_error("posterior"))["first"]
    assert entry["first"] == 1 and entry["total"] == entry["x"][1] > 0.95
    assert sum(entry["x"]) + entry["meta"]["none"] == pytest.approx(1)
    unsure = trace(list("abc"), shares((1, 1), (0, 1), (0, 1)), 0.0)
    assert one(unsure, first=parse_first_error("posterior:0.99"))["first"]["first"] is None
    nothing = trace(list("abc"), {}, 0.0)
    assert one(nothing, first=parse_first_error("posterior"))["first"]["first"] is None
    bare = trace([], {0: [1.0, 0.0]})
    del bare["response"], bare["steps"]
    assert one(bare, first=parse_first_error("posterior"))["first"]["first"] == -1
    with pytest.raises(UsageError, match="posterior"):
        parse_first_error("posterior:0")


# ---- other backups --------------------------------------------------------------------------


def searched() -> Json:
    """Root -> a (the spine, right) and siblings grown step by step by the same sampler."""
    record = trace(["a\n", "b"], {}, 1.0)
    tree = record["tree"]
    add = {"by": 0, "whole": False}
    left = trees.add(tree, 1, "x\n", finish="", draw=0, **add)  # type: ignore[arg-type]
    ends = [(left, 1.0, 0), (left, 0.0, 1), (left, 0.0, 2), (1, 0.0, 1), (0, 0.0, 0)]
    for parent, outcome, draw in ends:
        trees.add(tree, parent, "z", finish="stop", outcome=outcome, draw=draw, **add)  # type: ignore[arg-type]
    tree["visits"] = [4, 4, 5, 8]
    return record


def test_values_by_other_backups() -> None:
    record = searched()
    leaves = made("soft:backup=leaves", record)
    assert leaves["x"] == [0.25, 1.0] and leaves["k"][0] == 1 and leaves["n"][0] == 4
    assert leaves["root"]["x"] == 0.2
    mean = made("soft:backup=mean", record)
    assert mean["x"][0] == pytest.approx((1 / 3 + 0) / 2)
    assert mean["root"]["x"] == pytest.approx((1 / 6 + 0) / 2)
    assert made("soft:backup=max", record)["x"][0] == 1.0
    visits = made("soft:backup=visits", record)
    assert visits["x"][0] == pytest.approx(2 / 3) and visits["visits"][0] == 3
    assert (visits["k"][0], visits["n"][0]) == (1, 2)  # two ends, one of them reached twice
    assert visits["root"]["x"] == 0.5
    assert made("progress:backup=leaves", record)["x"] == pytest.approx([0.05, 0.75])
    assert made("value:backup=leaves", record)["low"] == [None, 1.0]
    assert made("soft", record)["x"] == [None, 1.0]  # nothing was drawn as a whole there


def test_undecided_ends_count_as_wrong_when_asked() -> None:
    record = searched()
    record["tree"]["outcome"][4] = None
    apart = made("soft:backup=leaves", record)
    assert (apart["n"][0], apart["undecided"][0], apart["x"][0]) == (3, 1, 0.0)
    wrong = made("soft:backup=leaves", record, undecided="wrong")
    assert (wrong["n"][0], wrong["undecided"][0], wrong["x"][0]) == (4, 0, 0.0)
    visits = made("soft:backup=visits", record, undecided="wrong")
    assert (visits["n"][0], visits["visits"][0], visits["x"][0]) == (2, 3, 0.0)


def test_pooled_and_later_in_a_record() -> None:
    record = trace(["a\n", "b\n", "c"], shares((1, 2), (2, 3), (0, 1)), 0.0)
    record["split"] = {"by": "lines"}
    tree = record["tree"]
    for node, (above, whole) in enumerate(zip(tree["parent"], tree["whole"], strict=True)):
        if above == 0 and whole:
            tree["text"][node] = "a\nx"  # both draws from the root pass the first step
    pooled = made("soft:backup=pooled", record)
    assert pooled["n"] == [5, 1, 1] and pooled["x"][0] == 3 / 5
    later = made("soft:backup=later", record)
    assert later["root"]["x"] == 3 / 5 and later["root"]["n"] == 2
    assert made("value:backup=pooled", record)["low"][0] > 0


def test_pooling_across_a_group() -> None:
    texts = [["a\n", "b"], ["a\n", "c\n", "d"]]
    group = [trace(steps, shares((1, 2), (1, 2)), 0.0) for steps in texts]
    for record in group:
        record["split"] = {"by": "lines"}
    settings = labels.LabelSettings(labels.parse_all(["soft:backup=pooled"]), pool=True)
    first, second = labels.label(group, settings)
    assert isinstance(first, dict) and isinstance(second, dict)
    # the same numbers at the same prefix are the same draws: nothing counts twice
    assert first["soft"]["n"] == [2, 1] and second["soft"]["n"] == [2, 0, 1]
    group[1]["tree"]["draw"] = [-1 if d < 0 else d + 2 for d in group[1]["tree"]["draw"]]
    both = labels.label(group, settings)
    assert [entry["soft"]["n"][0] for entry in both] == [4, 4]  # type: ignore[index]
    group[1]["problem"] = "another"
    assert any("another problem" in str(entry) for entry in labels.label(group, settings))


def test_random_labels_never_impute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the evidence: every label of every row has a number or null for each step."""
    rng = random.Random(4)
    texts = [row.name for row in LABELS if row.name != "consensus"]
    for _ in range(200):
        steps = [f"{i}\n" for i in range(rng.randrange(1, 6))]
        draws = {
            state: [rng.choice([0.0, 1.0, None]) for _ in range(rng.randrange(5))]
            for state in range(len(steps))
        }
        record = trace(steps, draws, rng.choice([0.0, 1.0, None]), split={"by": "lines"})
        for name, entry in one(record, *texts).items():
            assert len(entry["x"]) == len(steps), name
            for state, x in enumerate(entry["x"][:-1], 1):
                decided = [o for o in draws[state] if o is not None]
                if name in ("value", "soft", "hard", "threshold", "ternary", "entropy", "relative"):
                    assert x is None or decided, name


# ---- draws that a rule stopped --------------------------------------------------------------


def stopped(rule: str, *counts: tuple[int, int], verdict: float = 1.0) -> Json:
    """A trace whose draws at each state were stopped by ``rule``."""
    record = trace([f"{i}\n" for i in range(len(counts))], shares(*counts), verdict)
    for state in range(len(counts)):
        record["tree"]["rule"][state] = rule
    return record


def test_values_are_corrected_for_a_stop_at_the_first_success() -> None:
    record = stopped("first-success:most=8", (1, 1), (1, 4), (0, 8), (1, 2), verdict=0.0)
    value = made("value", record)
    assert value["root"]["x"] == 1.0
    assert value["x"] == [0.0, 0.0, 0.0, 0.0]
    assert value["k"] == [1, 0, 1, 0] and value["n"] == [4, 8, 2, 1]  # the counts stay
    assert value["low"] == [None, None, None, 0.0]
    assert made("soft", record)["x"] == value["x"]
    assert made("hard", record)["x"] == [1, 0, 1, 0] and made("hard", record)["first"] == 1
    assert made("sorm", record)["x"] == [1, 1, 1, 0]
    zero = one(record, first=parse_first_error("zero"))["first"]
    assert zero["first"] == 1
    best = made("best-of:k=2", record)
    assert best["x"] == [None, None, None, 0.0] and best["why"][0].startswith("stopped by first-")
    assert made("pivotal", record)["x"] == [None] * 4
    assert made("entropy", record)["x"] == [0.0, 0.0, 0.0, 0.0]
    for rule in ("drop:0.5", "below:0.5"):
        assert "tested, zero or posterior" in error(record, first=parse_first_error(rule))


def test_the_posterior_does_not_care_what_stopped_the_draws() -> None:
    counts = [(1, 1), (1, 1), (0, 8), (0, 8)]
    fixed = one(stopped("fixed", *counts, verdict=0.0), first=parse_first_error("posterior"))
    other = one(
        stopped("first-success:most=8", *counts, verdict=0.0), "hard",
        first=parse_first_error("posterior"),
    )  # fmt: skip
    assert fixed["first"] == other["first"] and fixed["first"]["first"] == 1


@pytest.mark.parametrize("rule", ["", "fixed", "fixed:k=4", "budget:draws"])
def test_rules_that_did_not_look_change_nothing(rule: str) -> None:
    counts = [(1, 4), (2, 4)]
    assert one(stopped(rule, *counts)) == one(trace(["0\n", "1\n"], shares(*counts)))


def test_values_from_an_unknown_rule_or_impossible_counts_are_refused() -> None:
    unknown = stopped("oracle:p=0.5", (1, 4), (2, 4))
    assert 'what "oracle:p=0.5" does to a value cannot be corrected' in error(unknown, "value")
    assert error(unknown, "value").endswith("use --label hard, alone or with --first posterior")
    assert made("hard", unknown)["x"] == [1, 1]
    beyond = stopped("first-success:most=8", (2, 4), (1, 1))
    assert '2 of 4 draws is not where "first-success:most=8" stops' in error(beyond, "soft")
    for rule in ("first-success", "first-success:most=x", "wilson:half=0.1"):
        assert "cannot be corrected" in error(stopped(rule, (1, 1), (1, 1)), "progress")
    beyond["split"] = {"by": "lines"}
    assert "cannot be pooled" in error(beyond, "soft:backup=pooled")


def test_a_rule_is_that_of_its_sampler() -> None:
    record = two_provers()
    trees.set_rule(record["tree"], 0, 1, "first-success:most=4")
    trees.set_rule(record["tree"], 0, 0, "fixed:k=2")
    assert made("soft:sampler=aa", record)["root"]["x"] == 0.5
    assert made("soft:sampler=weak", record)["root"]["x"] == 0.0  # a success after more than one


def test_a_stopped_value_is_right_on_average() -> None:
    """Wilson half-width 0.2, from 4 to 20 draws, at p = 0.15: k/n is biased, the value is not."""
    rng = random.Random(5)
    rule = "wilson:half=0.2,z=1.96,least=4,most=20"
    plain, corrected, runs = 0.0, [], 3000
    for _ in range(runs):
        k = n = 0
        while True:
            k, n = k + (rng.random() < 0.15), n + 1
            low, high = wilson(k, n)
            if n == 20 or (n >= 4 and (high - low) / 2 <= 0.2):
                break
        corrected.append(stopping_bias.unbiased_value(rule, float(k), n))
        plain += k / n / runs
    mean = sum(corrected) / runs
    spread = (sum((x - mean) ** 2 for x in corrected) / runs) ** 0.5
    assert mean == pytest.approx(0.15, abs=4 * spread / runs**0.5)
    assert abs(plain - 0.15) > 4 * spread / runs**0.5


# ---- what published labellers got wrong -----------------------------------------------------


def test_states_behind_an_early_stop_are_null_and_not_zero() -> None:
    """VisualPRM and Cliff-token fill the rest of a trace with 0 after the first 0."""
    record = trace(list("abcd"), shares((2, 2), (0, 2)), None)
    for row in LABELS:
        if row.name not in ("consensus", "weighted"):
            assert made(row.name, record)["x"][2:] == [None, None], row.name
    assert made("value", record)["n"] == [2, 0, 0, 0]


def test_ten_draws_that_agree_still_have_an_interval() -> None:
    """VinePPO's Wald interval has no width at 0 and 1, and stops there."""
    for k in (0, 10):
        label = made("value", trace(["a", "b"], shares((5, 10), (k, 10))))
        assert label["high"][0] - label["low"][0] > 0.2


def test_values_that_come_back_do_not_move_the_first_zero() -> None:
    """A zero followed by a success is where the rule says; only the posterior sees the rest."""
    record = trace(list("abcd"), shares((6, 8), (0, 8), (6, 8), (7, 8)), 1.0)
    assert made("hard", record)["first"] == 0
    entry = one(record, first=parse_first_error("posterior"))["first"]
    assert entry["first"] == -1 and entry["total"] > 0.9


@pytest.mark.parametrize("first", ["1", 1.0, True, 3, -2])
def test_an_index_is_a_number_from_0_to_the_last_step(first: object) -> None:
    record = trace(list("abc"), shares((1, 1), (1, 1), (1, 1)), 1.0)
    record["labels"] = {"gold": {"of": "validity", "by": "human", "first": first}}
    assert "expected a step (0 .. 2)" in error(record, "hard", "consensus:of=hard+gold")


def test_a_truncated_draw_is_never_wrong_by_itself() -> None:
    record = trace(["a", "b"], {0: [1.0], 1: [None, None, 1.0]}, 1.0)
    assert made("soft", record)["x"][0] == 1.0 and made("soft", record)["undecided"][0] == 2
    assert made("best-of:k=1", record)["x"][0] == 1.0
    assert made("best-of:k=3", record)["x"][0] is None


# ---- every node of a tree -------------------------------------------------------------------


def nodes(text: str, record: Json, **settings: Any) -> Json:
    wanted = labels.parse_all([text])
    (result,) = labels.label_nodes([record], labels.LabelSettings(wanted, **settings))
    assert isinstance(result, dict), result
    return result[wanted[0].name]


def test_every_node_has_its_value_and_its_progress() -> None:
    record = searched()  # root: a (b), z wrong; a: b, x, z wrong; x: right, wrong, wrong
    value = nodes("value:backup=leaves", record)
    assert value["x"] == [0.2, 0.25, 1.0, pytest.approx(1 / 3), 1.0, 0.0, 0.0, 0.0, 0.0]
    assert value["n"] == [5, 4, 1, 3, 1, 1, 1, 1, 1] and "root" not in value
    assert value["meta"]["backup"] == "leaves"
    progress = nodes("progress:backup=leaves", record)["x"]
    parents = record["tree"]["parent"]
    assert progress[0] is None
    for node in range(1, 9):
        assert progress[node] == pytest.approx(value["x"][node] - value["x"][parents[node]])
    assert nodes("soft", record)["x"] == [None, None, 1.0, None, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_nodes_of_a_chain_agree_with_the_trace() -> None:
    record = trace(["a", "b", "c"], shares((1, 4), (3, 4), (0, 4)), 0.0)
    for text in ("value", "hard", "ternary", "best-of:k=2", "entropy", "progress", "pivotal"):
        own, every = made(text, record), nodes(text, record)
        for name, column in own.items():
            if isinstance(column, list):
                assert every[name][1:4] == column, (text, name)
                assert len(every[name]) == len(record["tree"]["parent"])
        assert "first" not in every
    undecided = trace(["a", "b"], {0: [None]}, 1.0)
    assert nodes("soft", undecided)["undecided"] == [1, 0, 0, 1]
    assert nodes("soft", undecided, undecided="wrong")["x"] == [0.0, None, 1.0, 0.0]


def test_a_backup_of_visits_needs_visits() -> None:
    record = searched()
    good = labels.parse_all(["soft:backup=visits"])
    bad = searched()
    bad["tree"]["visits"] = [99]
    none = searched()
    del none["tree"]["visits"]
    results = labels.label([record, bad, none], labels.LabelSettings(good))
    assert isinstance(results[0], dict)
    assert 'field "tree.visits": expected' in str(results[1])
    assert 'field "tree.visits": missing' in str(results[2])


@pytest.mark.parametrize(
    ("lost", "right", "first"),
    [
        ([False, None, False, True, None], False, 2),  # as a bisection leaves it
        ([False, None, None, None, None], False, None),  # the state before the end was not tested
        ([False, None, None, False, None], False, 3),  # the end is lost by itself
        ([False, None, None, True, None], False, None),  # lost, but before it nothing is known
        ([False, True, False, True, None], False, 0),  # the first of several
        ([None, True, None, None, None], False, None),  # what is lost may have been so before
        ([True, True, None, None, None], False, None),  # it never got there
        ([False, None, None, None, None], True, -1),
        ([False, None, None, None, None], None, None),
    ],
)
def test_the_first_error_that_was_tested(
    lost: list[bool | None], right: bool | None, first: int | None
) -> None:
    assert first_tested(lost, right, [True] * 4) == first


def test_what_the_tests_of_a_search_decided() -> None:
    rule = "first-success:most=8"
    counts = [(1, 2), (0, 0), (1, 5), (0, 8), (0, 0)]
    record = stopped(rule, *counts, verdict=0.0)
    entry = one(record, "hard", first=parse_first_error("tested"))
    assert entry["first"]["first"] == entry["hard"]["first"] == 2
    assert entry["first"]["meta"]["untested"] == 1
    sprt = "sprt:low=0.1,high=0.5,error=0.05,most=40"
    drop = stopped(sprt, (5, 8), (6, 8), (0, 6), (0, 0), verdict=0.0)
    drop["tree"]["rule"][0] = "fixed:k=8"  # the root is measured, not tested
    assert one(drop, "hard", first=parse_first_error("tested"))["first"]["first"] == 1
    untested = trace(["a", "b"], shares((1, 2), (0, 2)), 0.0)
    assert one(untested, first=parse_first_error("tested"))["first"]["first"] is None
