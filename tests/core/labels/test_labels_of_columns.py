"""Labels from a column in place of draws, against numbers worked out by hand and against draws."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from math import log, sqrt
from typing import Any

import pytest
from labelling import error, one, trace
from work import Workdir

from stepkit.core import labels
from stepkit.core.labels import parse_first_error
from stepkit.core.labels.column_states import COUNTS, INTERVAL
from stepkit.core.labels.label_registry import LABELS, OF_NODES
from stepkit.core.labels.min_form import weighted_rewards
from stepkit.core.labels.normalisation import onward, scaled
from stepkit.core.leaves import leaf_traces
from stepkit.errors import DataError, UsageError
from stepkit.schema import Json


def flat(x: Sequence[float | None], **more: Any) -> Json:
    """A right attempt of as many steps, with a critic's number after each."""
    steps = [f"{step}\n" for step in range(len(x))]
    critic = {"of": "value", "by": "scorer", "x": list(x)} | more.pop("critic", {})
    record = {"problem": "p", "response": "".join(steps), "steps": steps, "correct": True}
    return record | {"scores": {"critic": critic}} | more


def made(text: str, record: Json, **settings: Any) -> Json:
    """The one label asked for."""
    (entry,) = one(record, text, **settings).values()
    assert isinstance(entry, dict)
    return entry


def close(*numbers: float | None) -> Any:
    return [None if number is None else pytest.approx(number) for number in numbers]


RISEN = [0.6, 0.3, 0.8]


# ---- lines ----------------------------------------------------------------------------------


def test_a_line_through_the_numbers() -> None:
    entry = made("threshold:from=critic", flat(RISEN))
    assert entry == {
        "of": "value", "by": "scorer", "x": [1, 0, 1],
        "meta": {"from": "scores.critic", "above": 0.5, "z": 0.0, "interval": "none: a class"},
    }  # fmt: skip
    assert made("threshold:from=critic,above=0.6", flat(RISEN))["x"] == [0, 0, 1]
    assert made("threshold:from=scores.critic", flat([0.6, None, 0.8]))["x"] == [1, None, 1]


def test_two_lines_make_three_classes() -> None:
    assert made("ternary:from=critic,above=0.7,below=0.4", flat(RISEN))["x"] == [0, -1, 1]
    assert made("ternary:from=critic,above=0.6,below=0.3", flat(RISEN))["x"] == [0, 0, 1]
    assert made("ternary:from=critic,below=0.5", flat([0.5, 0.6, 0.4, None]))["x"] == [
        -1, 1, -1, None,
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"below=0.5 is over above=0.4"):
        labels.parse_all(["ternary:above=0.4,below=0.5"])


def test_two_lines_hold_for_draws_too() -> None:
    record = trace(list("abcd"), {1: [1.0] * 40, 2: [1.0, 0.0] * 20, 3: [0.0] * 40}, 1.0)
    assert made("ternary:above=0.8,below=0.2", record)["x"] == [1, 0, -1, 1]
    assert made("ternary:above=0.95,below=0.2", record)["x"] == [0, 0, -1, 1]  # Wilson: from .912


def test_hard_labels_of_a_column_end_at_the_first_error() -> None:
    entry = made("hard:from=critic", flat(RISEN))
    assert entry["x"] == [1, 0, None] and entry["first"] == 1
    assert entry["meta"]["from"] == "scores.critic" and entry["meta"]["above"] == 0.5
    assert made("hard:from=critic,above=0.2", flat(RISEN))["first"] == -1
    gap = made("hard:from=critic", flat([0.9, None, 0.8, 0.1, 0.9]))
    assert gap["x"] == [1, None, 1, 0, None] and gap["first"] is None  # the gap may be the first
    assert made("hard:from=critic", flat([0.9, 0.1, None]))["first"] == 1


def test_numbers_that_are_no_probabilities_need_a_line() -> None:
    for of in ("raw", "progress", None):
        record = flat([-3.0, 1.0], critic={"of": of})
        for label in ("threshold", "hard", "ternary:below=0"):
            name, _, rest = label.partition(":")
            wanted = f"{name}:from=critic" + (f",{rest}" if rest else "")
            assert "give above=T" in error(record, wanted)
        assert made("threshold:from=critic,above=0", record)["x"] == [0, 1]
    assert made("threshold:from=critic,above=0", flat([1.0], critic={"of": "raw"}))["of"] == "raw"
    logprob = flat([-0.7, -0.1], critic={"of": "confidence"})
    assert "outside 0 .. 1" in error(logprob, "threshold:from=critic")
    assert made("threshold:from=critic,above=-0.5", logprob)["x"] == [0, 1]


# ---- what a step changed --------------------------------------------------------------------


def test_progress_needs_a_number_at_the_root() -> None:
    assert made("progress:from=critic", flat(RISEN))["x"] == close(None, -0.3, 0.5)
    given = made("progress:from=critic,root=0.5", flat(RISEN))
    assert given["x"] == close(0.1, -0.3, 0.5) and given["of"] == "progress"
    assert given["meta"] == {
        "from": "scores.critic", "root": 0.5, "k": 1,
        "interval": "none: the column counts no draws",
    }  # fmt: skip
    own = flat(RISEN, critic={"root": {"x": 0.4}})
    assert made("progress:from=critic,root=0.5", own)["x"] == close(0.2, -0.3, 0.5)
    assert made("progress:from=critic", flat(RISEN, critic={"root": 0.4}))["x"][0] == close(0.2)[0]
    gap = made("progress:from=critic,root=0.5", flat([0.6, None, 0.8]))
    assert gap["x"] == close(0.1, None, None)


def test_potential_differences_by_hand() -> None:
    """Ng, Harada and Russell: gamma Phi(s') - Phi(s)."""
    record = flat(RISEN)
    entry = made("potential:from=critic,root=0.5,gamma=0.9", record)
    assert entry["x"] == close(0.04, -0.33, 0.42)
    zero = made("potential:from=critic,root=0.5,gamma=0.9,end=zero", record)["x"]
    assert zero == close(0.04, -0.33, -0.3)
    # An attempt gets -Phi(root) in all, whatever its steps: no policy is better for it.
    assert sum(0.9**t * reward for t, reward in enumerate(zero)) == pytest.approx(-0.5)
    assert (
        made("potential:from=critic,root=0.5", record)["x"]
        == made("progress:from=critic,root=0.5", record)["x"]
    )


def test_advantages_by_a_critic() -> None:
    """DAPO: V(s') - V(s), and the verdict less V(s) at the end, whatever the critic says there."""
    record = flat(RISEN)
    direct = made("gae:from=critic,root=0.5,lambda=0", record)
    assert direct["x"] == close(0.1, -0.3, 0.7)
    assert direct["meta"]["undecided"] == "apart"
    # delta = .1, -.3, .7: A_2 = .7, A_1 = -.3 + .5 * .7, A_0 = .1 + .5 * .05
    assert made("gae:from=critic,root=0.5,lambda=0.5", record)["x"] == close(0.125, 0.05, 0.7)
    # delta = .9 * .6 - .5, .9 * .3 - .6, 1 - .3; gamma lambda = .45
    discounted = made("gae:from=critic,root=0.5,lambda=0.5,gamma=0.9", record)
    assert discounted["x"] == close(0.03325, -0.015, 0.7)
    assert made("gae:from=critic", record)["x"][0] is None
    wrong = flat(RISEN, correct=False)
    assert made("gae:from=critic,lambda=1", wrong)["x"] == close(None, -0.6, -0.3)


def test_returns_by_a_critic() -> None:
    entry = made("return:from=critic,lambda=0.5", flat(RISEN, critic={"of": "validity"}))
    assert entry["x"] == close(0.65, 1.0, 1.0)  # (.3 + 1) / 2
    assert entry["root"] == {"x": pytest.approx(0.625)}  # (.6 + .65) / 2
    assert entry["of"] == "value"


def test_an_undecided_attempt_has_no_reward() -> None:
    record = flat(RISEN, correct=None)
    assert made("gae:from=critic,root=0.5", record)["x"] == [None] * 3
    wrong = made("gae:from=critic,root=0.5,lambda=0", record, undecided="wrong")
    assert wrong["x"] == close(0.1, -0.3, -0.3) and wrong["meta"]["undecided"] == "wrong"
    del record["correct"]
    assert 'field "correct": missing: grade the attempt' in error(record, "gae:from=critic")


def test_the_verdict_in_a_tree_is_the_reward_of_a_critic() -> None:
    record = trace(["0\n", "1\n"], {}, 0.0, scores=flat([0.6, 0.8])["scores"])
    assert made("gae:from=critic,lambda=0", record)["x"] == close(None, -0.6)


# ---- outcomes without draws -----------------------------------------------------------------


@pytest.mark.parametrize("correct", [True, False])
def test_the_outcome_needs_no_tree(correct: bool) -> None:
    """OVM: the verdict at every step."""
    record = flat(RISEN, correct=correct, role=["assistant", "tool", "assistant"])
    assert made("outcome", record)["x"] == [float(correct), None, float(correct)]
    target = made("return:lambda=1", record)
    assert target["x"] == [float(correct), None, float(correct)]
    assert target["root"]["x"] == float(correct) and target["n"] == [0, None, 1]
    assert made("return:lambda=1,gamma=0.5", record)["root"]["x"] == 0.25 * correct


def test_the_outcome_of_an_attempt_that_nobody_decided() -> None:
    record = flat(RISEN, correct=None)
    assert made("outcome", record)["x"] == [None] * 3
    assert made("outcome", record, undecided="wrong")["x"] == [0.0] * 3
    del record["correct"]
    assert 'field "correct": missing' in error(record, "outcome")
    assert "step-rollout" in error(flat(RISEN), "return")  # other than lambda=1 needs values


# ---- the credit of a judge ------------------------------------------------------------------


def test_a_step_that_a_judge_calls_wrong_loses_a_penalty() -> None:
    """CAPO: with reward 2 and penalty 1 a right attempt has 2, 1 and 2, a wrong one 0, -1 and 0."""
    asked = "credit:from=critic,reward=2,penalty=1"
    entry = made(asked, flat([1.0, 0.0, None]))
    assert (entry["of"], entry["x"]) == ("raw", [2.0, 1.0, 2.0])
    assert entry["meta"]["interval"].startswith("none: ")
    assert made(asked, flat([1.0, 0.0, None], correct=False))["x"] == [0.0, -1.0, 0.0]
    assert made(asked, flat([1.0, 0.0, None], correct=None))["x"] == [None] * 3
    aside = flat([0.6, 0.1, 0.1], role=["assistant", "tool", "assistant"])
    assert made("credit:from=critic", aside)["x"] == [1.0, None, 0.0]
    assert made("credit:from=critic,below=0.05", aside)["x"] == [1.0, None, 1.0]


# ---- the least ------------------------------------------------------------------------------


def test_the_least_to_come() -> None:
    """PURE's strict min-form."""
    entry = made("min-return:from=critic", flat(RISEN, critic={"of": "validity"}))
    assert entry["x"] == [0.3, 0.3, 0.8] and entry["of"] == "validity"
    assert made("min-return:from=critic", flat([0.2, None, 0.8]))["x"] == [None, None, 0.8]
    aside = flat([0.6, 0.1, 0.8], role=["assistant", "tool", "assistant"])
    assert made("min-return:from=critic", aside)["x"] == [0.6, None, 0.8]


def test_weighted_rewards_sum_nearly_to_the_least() -> None:
    """PURE's r* = softmax(-r / T) r: rewards T ln 1, T ln 2, T ln 4 weigh 4, 2 and 1 sevenths."""
    t = 0.1
    rewards = [0.0, t * log(2), t * log(4)]
    assert weighted_rewards(rewards, t) == close(0, 2 / 7 * t * log(2), 1 / 7 * t * log(4))
    record = flat(rewards)
    assert made("min-reward:from=critic", record)["x"] == weighted_rewards(rewards, t)
    entry = made("min-return:from=critic,temperature=0.1", record)
    part = t * log(2) / 7
    assert entry["x"] == close(4 * part, 4 * part, 2 * part) and entry["of"] == "raw"
    assert weighted_rewards(RISEN, 1e-3) == close(0, 0.3, 0)
    assert weighted_rewards(RISEN, 0) == [0, 0.3, 0]
    assert weighted_rewards([0.3, 0.3, 0.8], 0) == [0.15, 0.15, 0]
    assert weighted_rewards([0.3, None], 0.1) == [None, None]
    assert weighted_rewards([5.0, 5000.0], 1e-3) == close(5, 0)  # no overflow
    assert weighted_rewards([], 0.1) == []


# ---- relative to others ---------------------------------------------------------------------


def test_scales_by_hand() -> None:
    own, other = [1.0, 2.0, 3.0], [5.0]
    assert scaled(own, [], "z-score") == [-1, 0, 1]
    assert scaled(own, [], "mean") == [-1, 0, 1]
    assert scaled(own, [], "min-max") == [0, 0.5, 1]
    assert scaled(own, [], "leave-one-out") == [None] * 3
    sd = sqrt((1.75**2 + 0.75**2 + 0.25**2 + 2.25**2) / 3)  # the mean of all four is 2.75
    assert scaled(own, [other], "z-score") == close(-1.75 / sd, -0.75 / sd, 0.25 / sd)
    assert scaled(other, [own], "z-score") == close(2.25 / sd)
    assert scaled(own, [other], "mean") == [-1.75, -0.75, 0.25]
    assert scaled(own, [other], "min-max") == [0, 0.25, 0.5]
    assert scaled(own, [other], "leave-one-out") == [-4, -3, -2]
    assert scaled(own, [other, [1.0, 2.0]], "leave-one-out") == [-2.25, -1.25, -0.25]
    assert scaled([2.0, 2.0], [], "z-score") == [0, 0] and scaled([2.0], [], "z-score") == [0]
    assert scaled([2.0, 2.0], [], "min-max") == [None, None]
    assert scaled([1.0, None, 3.0], [], "mean") == [-1, None, 1]
    assert scaled([None], [[None]], "z-score") == [None]
    assert onward([-1.0, 0.0, 1.0]) == [0, 1, 1]
    assert onward([1.0, None, 3.0]) == [None, None, 3]


def group(settings: Any, *records: Json) -> list[Json]:
    results = labels.label(records, labels.LabelSettings(labels.parse_all(settings), pool=True))
    assert all(isinstance(result, dict) for result in results), results
    return results  # type: ignore[return-value]


def test_normalisation_over_a_group() -> None:
    first, second = flat([1.0, 2.0, 3.0]), flat([5.0])
    text = "normalised:from=critic,over=group,scale=leave-one-out"
    one_of, other = group([text], first, second)
    assert one_of["normalised"]["x"] == [-4, -3, -2] and other["normalised"]["x"] == [3]
    assert one_of["normalised"]["of"] == "raw"
    assert one_of["normalised"]["meta"] == {
        "from": "scores.critic", "scale": "leave-one-out", "over": "group", "credit": "step",
        "interval": "none: made relative to other numbers",
    }  # fmt: skip
    (summed, _) = group([f"{text},credit=onward"], first, second)
    assert summed["normalised"]["x"] == [-9, -5, -2]
    alone = made("normalised:from=critic", first)
    assert alone["x"] == [-1, 0, 1] and alone["meta"]["over"] == "attempt"


def test_a_group_is_scaled_by_labels_of_the_same_run() -> None:
    """Each label is made of all records before the next is: the others' progress is there."""
    wanted = ["progress:from=critic,root=0", "normalised:from=progress,over=group,scale=mean"]
    first, second = group(wanted, flat([1.0, 3.0]), flat([6.0]))
    assert first["progress"]["x"] == [1, 2] and second["progress"]["x"] == [6]
    assert first["normalised"]["x"] == [-2, -1] and second["normalised"]["x"] == [3]


def test_returns_against_those_of_the_other_attempts() -> None:
    """PURE: the minimum to come, less the mean of the other attempts' minima to come."""
    wanted = [
        "min-return:from=critic",
        "normalised:from=min-return,over=group,scale=leave-one-out",
    ]
    first, second = group(wanted, flat(RISEN), flat([0.5, 0.9]))
    assert first["min-return"]["x"] == [0.3, 0.3, 0.8]
    assert first["normalised"]["x"] == close(0.3 - 0.7, 0.3 - 0.7, 0.8 - 0.7)
    assert second["normalised"]["x"] == close(0.5 - 1.4 / 3, 0.9 - 1.4 / 3)


def test_a_bad_record_of_a_group_has_its_own_error() -> None:
    good, bad = flat([1.0, 2.0]), flat([1.0])
    bad["scores"]["critic"]["x"] = ["much"]
    wanted = labels.parse_all(["normalised:from=critic,over=group"])
    results = labels.label([good, bad], labels.LabelSettings(wanted, pool=True))
    assert isinstance(results[0], dict) and isinstance(results[1], DataError)
    assert 'field "scores.critic.x[0]"' in str(results[1])


# ---- counts ---------------------------------------------------------------------------------


def votes() -> Json:
    """A judge that was asked eight, four and four times."""
    counts = {"k": [8, 2, 0], "n": [8, 4, 4], "undecided": [0, 1, 0]}
    return flat([1.0, 0.5, 0.0], critic={"of": "validity", **counts})


def test_counts_of_a_column_have_an_interval() -> None:
    entry = made("value:from=critic", votes())
    assert entry["high"] == close(1, 0.5 + 0.5 * sqrt(3.8416 / 7.8416), 3.8416 / 7.8416)
    assert entry["low"] == close(8 / 11.8416, 0.5 - 0.5 * sqrt(3.8416 / 7.8416), 0)
    assert entry["k"] == [8, 2, 0] and entry["n"] == [8, 4, 4] and entry["undecided"] == [0, 1, 0]
    assert entry["of"] == "validity" and "root" not in entry
    risen = made("progress:from=critic", votes())
    half, none = 0.5 * sqrt(3.8416 / 7.8416), 3.8416 / 7.8416  # Newcombe: of 2 of 4, of 0 of 4
    assert risen["x"] == [None, -0.5, -0.5] and risen["low"][2] == pytest.approx(-0.5 - half)
    assert risen["high"][2] == pytest.approx(-0.5 + sqrt(none**2 + half**2))
    assert made("ternary:from=critic", votes())["x"] == [1, 0, -1]
    assert made("threshold:from=critic,z=1.96", votes())["x"] == [1, None, 0]
    assert made("ternary:from=critic,z=0", votes())["x"] == [1, -1, -1]
    assert made("best-of:from=critic,k=2", votes())["x"] == close(1, 1 - 1 / 6, 0)
    assert made("entropy:from=critic", votes())["x"] == close(
        1, log((1 + 2.718281828459045) / 2), 0
    )


@pytest.mark.parametrize("row", LABELS, ids=lambda row: row.name)
def test_a_label_of_draws_refuses_a_column_without_counts(row: Any) -> None:
    wanted = f"{row.name}:from=critic"
    if not row.column:
        with pytest.raises(UsageError, match="from has no effect"):
            labels.parse_all([f"{wanted},of=critic" if row.name == "consensus" else wanted])
        return
    if row.column in (COUNTS, INTERVAL):
        assert f'field "scores.critic": no k and n: {row.name}' in error(flat(RISEN), wanted)
    elif row.name in ("ternary", "effective"):
        assert "no k and n" in error(flat(RISEN), wanted)
    else:
        assert len(made(wanted, flat(RISEN))["x"]) == 3
    assert len(made(wanted, votes())["x"]) == 3


def test_what_needs_counts_says_the_way_out() -> None:
    assert "give below=T" in error(flat(RISEN), "ternary:from=critic")
    assert "give z=0" in error(flat(RISEN), "threshold:from=critic,z=1")
    assert "give k=1" in error(flat(RISEN), "progress:from=critic,k=2")
    assert made("effective:from=critic,root=0.5,k=1", flat(RISEN))["x"] == close(0.7, 0.0, 1.3)


def test_a_prover_is_another_column() -> None:
    record = flat(RISEN, labels={"weak": {"of": "value", "by": "human", "x": [0.2, 0.4, 0.5]}})
    entry = made("effective:from=critic,prover=weak,k=1,root=0.1", record)
    assert entry["x"] == close(0.6 + 0.1, 0.3 + 0.2, 0.8 + 0.1)
    assert entry["meta"]["prover"] == "weak" and entry["meta"]["from"] == "scores.critic"
    assert 'field "labels.weak": no k and n' in error(record, "effective:from=critic,prover=weak")
    record["labels"]["weak"] |= {"x": [0.0, 0.5, 1.0], "k": [0, 1, 2], "n": [2, 2, 2]}
    best = made("effective:from=critic,prover=weak,k=2", record)  # 0, 1 and 1 of the one pair
    assert best["x"] == close(None, 0.3 + 1, 0.8 + 0)


def test_counts_that_are_no_share_have_no_interval() -> None:
    """A number that was smoothed, or backed up, is not k of n."""
    record = flat([0.9], critic={"k": [2], "n": [4]})
    smoothed = made("value:from=critic", record)
    assert smoothed["low"] == [None] and "not the shares" in smoothed["meta"]["interval"]
    assert made("best-of:from=critic,k=2", record)["x"] == [None]
    odd = flat([0.5], critic={"k": [1.5], "n": [3]})
    assert 'field "scores.critic.k": this label needs whole' in error(odd, "best-of:from=critic")


def test_the_agreement_of_draws_is_no_value() -> None:
    """step-score --by consistency counts the draws that agree, right or wrong."""
    counts = {"of": "confidence", "by": "sampler", "k": [4, 1], "n": [4, 4]}
    record = flat([1.0, 0.25], critic=counts)
    assert made("hard:from=critic", record)["x"] == [1, 0]
    assert made("threshold:from=critic", record)["k"] == [4, 1]
    assert "no low and high" in error(record, "ternary:from=critic")


def test_a_count_that_is_not_known_stays_null() -> None:
    """As at the steps inside of a draw, when an attempt leaves its tree."""
    record = flat([0.5, None, 1.0], critic={"by": "sampler", "k": [1, None, 1], "n": [2, None, 1]})
    entry = made("hard:from=critic", record)
    assert entry["x"] == [1, None, 1] and entry["k"] == [1, None, 1] and entry["n"] == [2, None, 1]
    assert made("return:from=critic,lambda=1", record)["n"] == [2, None, 1]


def test_counts_of_stopped_draws_have_no_interval_by_a_column_either() -> None:
    record = trace(["a\n", "b\n"], {0: [1.0], 1: [1.0]}, 1.0)
    record["tree"]["rule"][0] = record["tree"]["rule"][1] = "first-success:most=8"
    made_of_value = one(record, "value", "best-of:from=value,k=1", "pivotal:from=value")
    assert made_of_value["value"]["x"] == [1.0, 1.0] and made_of_value["best-of"]["x"] == [
        None,
        1.0,
    ]
    assert made_of_value["pivotal"]["x"] == [None, None]
    # A label without an interval does not tell, and so no interval or test can be made of it.
    for text in ("value:from=soft", "best-of:from=soft", "pivotal:from=soft", "ternary:from=soft"):
        assert 'field "labels.soft": no low and high' in error(record, "soft", text)
    for text in ("threshold:from=soft,z=1", "progress:from=soft,k=2", "ternary:from=soft,below=0"):
        assert "take the label value" in error(record, "soft", text)
    entries = one(record, "soft", "ternary:from=soft,below=0.2,z=0", "hard:from=soft")
    assert entries["ternary"]["x"] == entries["hard"]["x"] == [1, 1]


def random_trace(rng: random.Random) -> Json:
    steps = [f"{i}\n" for i in range(rng.randrange(1, 6))]
    draws = {
        state: [rng.choice([0.0, 1.0, None]) for _ in range(rng.randrange(6))]
        for state in range(len(steps))
    }
    role = [rng.choice(["assistant", "assistant", "tool"]) for _ in steps]
    verdict = rng.choice([0.0, 1.0, None])
    correct = None if verdict is None else bool(verdict)
    return trace(steps, draws, verdict, role=role, correct=correct)


def test_values_from_a_column_make_what_the_draws_make() -> None:
    """Every label, of the tree and of the trace without it, null for null.

    At steps that are not the model's a trace without its tree knows no value, so all are its own.
    """
    rng = random.Random(11)
    names = [row.name for row in LABELS if row.column]
    for _ in range(150):
        record = random_trace(rng)
        record["role"] = ["assistant"] * len(record["steps"])
        direct = one(record, *names)
        through = one(record, "value", *(f"{name}:from=labels.value,as={name}2" for name in names))
        alone = {key: field for key, field in record.items() if key != "tree"}
        alone["labels"] = {"value": through["value"]}
        apart = one(alone, *(f"{name}:from=value,as={name}2" for name in names))
        for name in names:
            for made_of in (through, apart):
                entry = {**made_of[f"{name}2"], "meta": {}}
                wanted = {**direct[name], "meta": {}}
                entry.pop("why", None), wanted.pop("why", None)
                assert entry == wanted, (name, record)


def test_nodes_from_a_column_are_what_the_draws_make_of_them() -> None:
    rng = random.Random(12)
    for _ in range(60):
        record = random_trace(rng)
        texts = ["value", *OF_NODES[1:], *(f"{name}:from=value,as={name}2" for name in OF_NODES)]
        settings = labels.LabelSettings(labels.parse_all(texts))
        (entries,) = labels.label_nodes([record], settings)
        assert isinstance(entries, dict), entries
        for name in OF_NODES:
            one_way, other = ({**entries[key], "meta": {}} for key in (name, f"{name}2"))
            one_way.pop("why", None), other.pop("why", None)
            assert one_way == other, name


def test_nodes_from_a_score_of_the_tree() -> None:
    record = trace(["a", "b"], {0: [1.0], 1: [0.0]}, 1.0)  # nodes: root, a, b, a draw, a draw
    record["scores"] = {"prm": {"of": "validity", "by": "scorer", "x": [0.9, 0.2]}}
    x = [None, 0.9, 0.2, 0.4, 0.7]
    record["tree"]["scores"] = {"prm": {"of": "validity", "by": "scorer", "x": x}}
    wanted = labels.parse_all(
        ["hard:from=prm", "progress:from=prm,root=0.5", "potential:from=prm,root=0.5,end=zero"]
    )
    (entries,) = labels.label_nodes([record], labels.LabelSettings(wanted))
    assert isinstance(entries, dict)
    assert entries["hard"]["x"] == [None, 1, 0, 0, 1]
    assert entries["progress"]["x"] == close(None, 0.4, -0.7, -0.1, -0.2)
    assert entries["potential"]["x"] == close(None, 0.4, -0.9, -0.5, -0.9)
    assert entries["progress"]["meta"]["from"] == "scores.prm"
    del record["tree"]["scores"]
    (failed,) = labels.label_nodes([record], labels.LabelSettings(wanted))
    assert 'field "tree.scores.prm"' in str(failed)


def test_hard_labels_of_nodes_end_at_an_error_on_their_own_path() -> None:
    record = trace(["a", "b", "c"], {1: [1.0]}, 1.0)  # nodes: root, a, b, c, a draw after a
    x = [0.1, 0.9, 0.2, 0.9, 0.9]
    record["tree"]["scores"] = {"prm": {"of": "validity", "by": "scorer", "x": x}}
    (entries,) = labels.label_nodes(
        [record], labels.LabelSettings(labels.parse_all(["hard:from=prm"]))
    )
    assert isinstance(entries, dict)
    assert entries["hard"]["x"] == [0, 1, 0, None, 1]  # the root is no step


def test_a_bare_problem_has_the_numbers_of_its_tree() -> None:
    record = trace([], {0: [1.0, 0.0]})
    del record["response"], record["steps"]
    x = [0.3, 0.9, 0.2]
    record["tree"]["scores"] = {"prm": {"of": "validity", "by": "scorer", "x": x}}
    assert made("threshold:from=prm", record)["x"] == []
    assert made("threshold:from=prm", record)["root"] == {"x": 0}
    assert one(record, "soft", "threshold:from=soft")["threshold"]["root"]["x"] == 0


def test_attempts_that_left_their_tree_have_the_labels_of_its_nodes() -> None:
    """The same numbers, whether a label is made before the tree is taken apart or after."""
    record = trace(["a\n", "b\n"], {0: [1.0, 0.0], 1: [0.0, 0.0, 1.0], 2: []}, 0.0)
    names = ["hard", "threshold", "ternary", "best-of:k=2", "entropy"]
    wanted = labels.parse_all(["value", *names])
    (nodes,) = labels.label_nodes([record], labels.LabelSettings(wanted))
    assert isinstance(nodes, dict)
    record["tree"]["labels"] = nodes
    attempts = leaf_traces(record, lambda text, before: [text])
    assert [len(attempt["steps"]) for attempt in attempts] == [2, 1, 1, 2, 2, 2]
    for attempt in attempts:
        carried = attempt["labels"]
        for text in names:
            name, _, parameters = text.partition(":")
            entry = made(f"{name}:from=value,as=again,{parameters}".rstrip(","), attempt)
            assert entry["x"] == carried[name]["x"] and entry["root"]["x"] == nodes[name]["x"][0]


def test_a_step_of_another_leaves_the_number_before_it() -> None:
    """A judge says nothing of a tool's answer: progress is that since the last judged step."""
    roles = ["assistant", "tool", "assistant"]
    record = flat([0.6, None, 0.9], role=roles)
    assert made("progress:from=critic,root=0.5", record)["x"] == close(0.1, None, 0.3)
    assert made("gae:from=critic,root=0.5,lambda=0", record)["x"] == close(0.1, None, 0.4)
    read = flat([0.6, 0.7, 0.9], role=roles)
    assert made("progress:from=critic,root=0.5", read)["x"] == close(0.1, None, 0.2)


# ---- what is asked for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("soft:from=a,backup=max", "backup has no effect with from"),
        ("soft:from=a,sampler=b", "sampler has no effect with from"),
        ("soft:root=0.5", "root has no effect without from"),
        ("soft:from=a,root=x", "root=x: expected a number"),
        ("hard:above=0.5", "above has no effect without from"),
        ("consensus", "of= must be given"),
        ("normalised:scale=rank", "expected one of z-score, mean, leave-one-out, min-max"),
    ],
)
def test_what_would_do_nothing_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        labels.parse_all([text])
    assert complaint in str(caught.value)


def test_a_name_of_both_kinds_must_be_told_apart() -> None:
    record = flat(RISEN, labels={"critic": {"of": "value", "x": [0.0, 0.0, 0.0]}})
    assert "labels.critic or scores.critic" in error(record, "soft:from=critic")
    assert made("soft:from=labels.critic", record)["x"] == [0.0] * 3
    assert made("soft:from=scores.critic", record)["x"] == RISEN
    assert "missing; labels here: critic; scores here: critic" in error(record, "soft:from=nix")


@pytest.mark.parametrize("root", ["much", [0.5], {"x": "much"}])
def test_a_bad_root_is_named(root: object) -> None:
    assert 'field "scores.critic.root' in error(
        flat(RISEN, critic={"root": root}), "soft:from=critic"
    )


# ---- the first error ------------------------------------------------------------------------


def first(rule: str, record: Json, name: str | None) -> Json:
    (result,) = labels.label(
        [record],
        labels.LabelSettings(
            labels.parse_all(["soft:from=critic"]), parse_first_error(rule), score=name
        ),
    )
    assert isinstance(result, dict), result
    entry = result["first"]
    assert isinstance(entry, dict)
    return entry


def test_the_first_error_that_a_checker_names() -> None:
    """-1 says that no step is wrong, and that the steps without a number are not, either."""
    checker = {"of": "validity", "by": "checker", "x": [1.0, None, None], "first": -1}
    record = flat(RISEN, labels={"gold": {"of": "validity", "by": "human", "first": 2}})
    record["scores"]["sums"] = checker
    assert first("own", record, "sums") == {
        "of": "validity", "by": "checker", "first": -1, "meta": {"rule": "own", "score": "sums"},
    }  # fmt: skip
    assert first("below:0.5", record, "sums")["first"] is None
    gold = first("own", record, "gold")
    assert gold["first"] == 2 and gold["meta"] == {"rule": "own", "from": "labels.gold"}
    checker["first"] = None
    assert first("own", record, "sums")["first"] is None
    checker["first"] = 3
    wanted = labels.LabelSettings((), parse_first_error("own"), score="sums")
    assert "expected a step (0 .. 2)" in str(labels.label([record], wanted)[0])
    unnamed = labels.LabelSettings((), parse_first_error("own"), score="critic")
    assert "no first error is named here" in str(labels.label([record], unnamed)[0])
    only = labels.LabelSettings(None, parse_first_error("own"))
    (result,) = labels.label([flat(RISEN, critic={"first": 1})], only)
    assert isinstance(result, dict) and list(result) == ["first"] and result["first"]["first"] == 1


def test_other_rules_by_a_column() -> None:
    record = flat([0.8, 0.3, 0.0], critic={"root": {"x": 0.9}})
    assert first("zero", record, "critic")["first"] == 2
    assert first("drop:0.5", record, "critic")["first"] == 1
    assert first("below:0.9", record, "critic")["first"] == 0
    assert first("drop:0.5", flat(RISEN), "critic")["first"] is None  # no root
    counted = trace(list("abcd"), {0: [1.0] * 8, 1: [1.0] * 8, 2: [0.0] * 8, 3: [0.0] * 8}, 0.0)
    direct = one(counted, "value", first=parse_first_error("posterior"))
    through = one(counted, "value", first=parse_first_error("posterior"), score="value")["first"]
    assert through["first"] == direct["first"]["first"] == 1
    assert through["total"] == direct["first"]["total"]
    assert through["meta"]["from"] == "labels.value"
    posterior = labels.LabelSettings((), parse_first_error("posterior"), score="critic")
    assert "no k and n: posterior" in str(labels.label([flat(RISEN)], posterior)[0])


def test_a_consensus_of_one_source_is_its_first_error() -> None:
    record = flat(RISEN)
    entry = made("consensus:of=critic", record)
    assert entry["x"] == [1, 0, None] and entry["first"] == 1 and entry["by"] == "scorer"
    assert entry["meta"]["sources"] == {"critic": 1}
    twice = error(record, "consensus:of=critic+scores.critic")
    assert 'field "scores.critic": named twice' in twice
    both = flat(RISEN, labels={"critic": {"of": "validity", "by": "human", "first": 1}})
    agreed = made("consensus:of=labels.critic+scores.critic", both)
    assert agreed["meta"]["sources"] == {"labels.critic": 1, "scores.critic": 1}


# ---- the command ----------------------------------------------------------------------------


def test_command_makes_labels_of_a_checker(work: Workdir) -> None:
    record = {"problem": "p", "response": "1 + 1 = 2.\n2 + 2 = 5.\nSo 5.", "correct": False}
    work.write("in.jsonl", json.dumps(record) + "\n")
    done = work.run("step-split", "in.jsonl")
    done = work.run("step-score", "--check", "arithmetic", input=done.out)
    wanted = ["threshold", "hard", "min-return"]
    options = [part for name in wanted for part in ("--label", f"{name}:from=arithmetic")]
    done = work.run("step-label", *options, "--label", "outcome", "--first", "own", input=done.out)
    assert (done.status, done.err) == (0, "")
    entries = json.loads(done.lines[0])["labels"]
    assert entries["threshold"]["x"] == [1, 0, None]
    assert entries["hard"]["x"] == [1, 0, None] and entries["first"]["first"] == 1
    assert entries["outcome"]["x"] == [0.0, 0.0, 0.0]


def test_command_normalises_over_groups(work: Workdir) -> None:
    records = [flat([1.0, 3.0], group="g"), flat([5.0], group="g"), flat([7.0], group="h")]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    label = ["--label", "normalised:from=critic,over=group,scale=mean"]
    alone = work.run("step-label", *label, input=lines)
    assert alone.status == 2 and "over=group needs --pool" in alone.err
    done = work.run("step-label", "--pool", *label, input=lines)
    made_of = [json.loads(line)["labels"]["normalised"]["x"] for line in done.lines]
    assert made_of == [[-2.0, 0.0], [2.0], [0.0]]


def test_command_counts_undecided_attempts_that_count_as_wrong(work: Workdir) -> None:
    lines = json.dumps(flat(RISEN, correct=None)) + "\n"
    done = work.run("step-label", "--undecided", "wrong", "--label", "outcome", input=lines)
    assert json.loads(done.lines[0])["labels"]["outcome"]["x"] == [0.0] * 3
    assert "undecided draws counted as wrong: 1" in done.err
