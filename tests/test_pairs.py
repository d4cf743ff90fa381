"""Pairs from evidence written by hand, and the rows made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from work import Workdir

from stepkit.core import pairs
from stepkit.core import tree as trees
from stepkit.core.pairs import Found, Pair, Settings, Side
from stepkit.errors import DataError
from stepkit.formats import trainers
from stepkit.formats.trainers import Layout

Json = dict[str, Any]
Draw = tuple[str, float | None]

STEPS = ["a1\n", "b1\n", "c1"]


def trace(
    draws: dict[int, list[Draw]],
    verdict: float | None = 0.0,
    steps: list[str] = STEPS,
    finish: str = "stop",
    **more: Any,
) -> Json:
    """A record as step-rollout --method chain writes it; ``draws`` by state, 0 is the root."""
    tree = trees.from_steps(steps)
    trees.sampler_index(tree, {"id": "aa"})
    tree["finish"][tree["spine"][-1]] = finish
    tree["outcome"][tree["spine"][-1]] = verdict
    for state, drawn in draws.items():
        for number, (text, outcome) in enumerate(drawn):
            add({"tree": tree}, state, text, outcome, draw=number)
    record: Json = {"problem": "2 + 2?", "id": "t/0", "group": "t", "response": "".join(steps)}
    return {**record, "steps": steps, "split": {"by": "lines"}, "tree": tree, **more}


def add(record: Json, state: int, text: str, outcome: float | None, **over: Any) -> None:
    columns = {"whole": True, "finish": "stop", "outcome": outcome, "by": 0, **over}
    trees.add(record["tree"], state, text, **columns)


def one(record: Json, **settings: Any) -> Found:
    (found,) = pairs.find([record], Settings(**settings))
    assert isinstance(found, Found), found
    return found


def only(record: Json, **settings: Any) -> Pair:
    (pair,) = one(record, **settings).pairs
    return pair


def error(record: Json, **settings: Any) -> str:
    (found,) = pairs.find([record], Settings(**settings))
    assert isinstance(found, DataError), found
    return str(found)


def test_best_worst_at_every_step() -> None:
    record = trace(
        {
            0: [("a2\nx", 1.0), ("a3\ny", 0.0)],
            # so a1 has 1 of 4, b2 1 of 2, b3 0 of 2
            1: [("b2\nz", 1.0), ("b3\nw", 0.0), ("b3\nv", 0.0), ("b2\nu", 0.0)],
            # so b1 has 2 of 2, c2 2 of 2; c1 has its verdict, 0 of 1
            2: [("c2", 1.0), ("c2", 1.0)],
        }
    )
    found = one(record, scope="step")
    assert found.pairs == [
        Pair(0, "", Side("a2\n", 1, 1), Side("a3\n", 0, 1)),
        Pair(1, "a1\n", Side("b1\n", 2, 2), Side("b3\n", 0, 2)),
        Pair(2, "a1\nb1\n", Side("c2", 2, 2), Side("c1", 0, 1)),
    ]
    assert not found.dropped


def test_the_spine_has_the_counts_of_its_own_node() -> None:
    record = trace({0: [("a2\nx", 1.0)], 1: [("q", 0.0), ("q", 1.0), ("q", 0.0), ("q", 0.0)]})
    pair = only(record, scope="step")
    assert pair.rejected == Side("a1\n", 1, 4)
    assert pair.gap == 0.75
    # x ~ Beta(2, 1), y ~ Beta(2, 4): P(x > y) = E[1 - y^2] = 1 - 2 * 3 / (6 * 7)
    assert pair.probability == pytest.approx(6 / 7)


def test_a_draw_that_begins_with_the_spines_step_is_evidence_for_it() -> None:
    record = trace({0: [("a1\nelse", 1.0), ("a2\n", 0.0), ("a1", 1.0)], 1: [("q", 0.0)]})
    pair = only(record, scope="step")
    assert pair.chosen == Side("a1\n", 2, 3)  # one draw at its node, two at the prefix
    assert pair.rejected == Side("a2\n", 0, 1)


def test_a_first_step_that_is_the_whole_remainder_is_a_step() -> None:
    record = trace({0: [("right away", 1.0)]}, steps=["a1"])
    assert only(record).chosen == Side("right away", 1, 1)


def test_continuations_are_attempts_with_the_right_ending() -> None:
    record = trace(
        {0: [("a2\nlong", 0.0), ("a2\nshort", 1.0)], 1: [("wrong", 0.0), ("right", 1.0)] * 2},
    )
    tree = record["tree"]
    tree["outcome"][4] = 1.0  # now a2 has 2 of 2
    pair = one(record).pairs[0]
    assert pair.chosen == Side("a2\nlong", 2, 2)
    assert pair.rejected == Side("a1\nb1\nc1", 2, 4)  # the trace itself ended wrong
    tree["outcome"][3] = 1.0
    assert (
        one(record).pairs[0].rejected.text == "a1\nwrong"
    )  # ended right: the first wrong draw instead


def test_full_scope_keeps_the_prefix_on_the_completions() -> None:
    record = trace({1: [("b2\nc2", 1.0)], 2: [("c3", 0.0)]})
    row = trainers.trl_dpo(only(record, scope="full"), record, Layout(scope="full"))
    assert row["prompt"] == "2 + 2?\n"
    assert row["chosen"] == "a1\nb2\nc2"
    assert row["rejected"] == "a1\nb1\nc1"
    assert row["prefix_chars"] == len("a1\nb")


def test_an_attempt_that_was_cut_off_is_no_ending() -> None:
    record = trace({0: [], 1: [("x", 1.0)]}, steps=["a1\n", "b1"])
    add(record, 0, "a2\nand so", 0.0, finish="length", draw=0)
    found = one(record)
    assert [pair.step for pair in found.pairs] == [1]  # x against b1
    assert found.dropped == {"no attempt that came to its end": 1}
    assert one(record, scope="step").pairs[0].rejected == Side("a2\n", 0, 1)


def test_a_trace_that_ran_out_of_length_competes_only_by_its_draws() -> None:
    record = trace({0: [("a2\n", 1.0)], 1: [("q", 0.0)], 2: [("c2", 1.0)]}, None, finish="length")
    found = one(record)
    assert [(pair.chosen.text, pair.rejected.text) for pair in found.pairs] == [
        ("a2\n", "a1\nq"),
        ("b1\nc2", "q"),
    ]
    assert found.dropped == {"fewer than two rivals": 1}  # c1 is undecided


def test_ties_are_never_a_pair() -> None:
    record = trace({0: [("a2\n", 0.0), ("a3\n", 0.0)], 1: [("q", 0.0)]}, steps=["a1\n", "b1"])
    found = one(record)
    assert found.pairs == []
    assert found.dropped == {"tie": 2}


def test_equal_values_go_to_more_draws_then_the_spine_then_draw_order() -> None:
    record = trace(
        {0: [("a2\n", 1.0), ("a3\n", 1.0), ("a3\n", 1.0), ("a4\n", 0.0), ("a5\n", 0.0)]},
        None,
        steps=["a1"],
    )
    pair = only(record, scope="step")
    assert (pair.chosen.text, pair.rejected.text) == ("a3\n", "a4\n")
    record = trace({0: [("a2", 1.0), ("a3", 0.0)]}, 1.0, steps=["a1"])
    assert only(record).chosen.text == "a1"
    # file order is not draw order
    record = trace({}, 1.0, steps=["a1"])
    add(record, 0, "a9", 0.0, draw=1)
    add(record, 0, "a8", 0.0, draw=0)
    assert only(record).rejected.text == "a8"


def test_undecided_and_failed_draws_are_left_out() -> None:
    record = trace({0: [("a2\n", None), ("a3\n", 1.0)], 1: [("q", None)]}, steps=["a1\n", "b1"])
    add(record, 0, "a4\n", None, finish="error", draw=2)
    found = one(record)
    assert found.pairs == []
    assert found.dropped == {"fewer than two rivals": 2}


def test_empty_draws_are_no_rivals() -> None:
    record = trace({0: [("", 0.0), ("\n", 0.0)]}, 1.0, steps=["a1"])
    assert one(record).dropped == {"fewer than two rivals": 1}


def test_first_error_needs_a_right_rival_at_that_step() -> None:
    draws: dict[int, list[Draw]] = {
        0: [("a2\n", 1.0)],
        1: [("b2\nx", 0.0), ("b3\ny", 1.0), ("b1\nz", 0.0), ("b3\n", 0.0), ("b4\n!", 1.0)],
        2: [("q", 0.0)],
    }
    record = trace(draws, labels={"hard": {"first": 1}})
    pair = only(record, rule="first-error")
    assert pair.step == 1
    assert pair.chosen == Side("b4\n!", 1, 1)
    assert pair.rejected == Side("b1\nc1", 0, 2)
    labels: Json = {"hard": {"first": 1}, "first": {"first": 0}, "gold": {"first": -1}}
    record = trace(draws, labels=labels)
    assert only(record, rule="first-error").step == 0
    assert one(record, rule="first-error", at="gold").dropped == {"no error": 1}
    assert only(record, rule="first-error", at="hard").step == 1
    labels["first"]["first"] = None
    assert one(record, rule="first-error").dropped == {"first error unknown": 1}


def test_first_error_without_rivals_is_counted() -> None:
    record = trace({1: [("b2", 0.0)], 2: [("q", 0.0)]}, labels={"hard": {"first": 1}})
    assert one(record, rule="first-error").dropped == {"no right rival": 1}
    record = trace({1: [("b2", 1.0)]}, labels={"hard": {"first": 1}})
    assert one(record, rule="first-error").dropped == {"no decided draw": 1}
    record = trace({1: [("b2", 1.0)], 2: [("q", 1.0)]}, labels={"hard": {"first": 1}})
    assert one(record, rule="first-error").dropped == {"tie": 1}


def test_thresholds_and_the_most_pairs_of_a_trace() -> None:
    record = trace(
        {
            0: [("a2\n", 1.0)],  # against a1 with 1 of 2: gap 1/2
            1: [("b2\n", 1.0), ("r", 0.0)],  # b2 1 of 1 against r 0 of 1: gap 1
            2: [("c2", 1.0), ("s", 1.0)],  # c2 1 of 1 against c1 0 of 1: gap 1
        }
    )
    assert [pair.gap for pair in one(record).pairs] == [0.5, 1.0, 1.0]
    found = one(record, min_gap=0.75)
    assert [pair.step for pair in found.pairs] == [1, 2]
    assert found.dropped == {"under --min-gap": 1}
    found = one(record, max_pairs=1)
    assert [pair.step for pair in found.pairs] == [1]
    assert found.dropped == {"over --max-pairs": 2}
    # 1 of 1 against 0 of 1: 2/3 + 1/6 = 5/6 by integration of 2x and 2(1 - y)
    assert one(record, min_probability=5 / 6 - 1e-9).pairs[0].step == 1
    assert one(record, min_probability=0.9).dropped == {"under --min-probability": 3}


def test_steps_of_others_do_not_compete() -> None:
    role = ["assistant", "tool", "assistant"]
    draws: dict[int, list[Draw]] = {
        0: [("a2\n", 1.0)],
        1: [("b2\n", 0.0)],
        2: [("c2", 1.0)],
    }
    found = one(trace(draws, role=role))
    assert [pair.step for pair in found.pairs] == [0, 2]
    # a1's own attempt holds a tool's text: the wrong draw after a1 stands for it
    assert found.pairs[0].rejected.text == "a1\nb2\n"
    found = one(trace(draws, role=role), scope="full")
    assert [pair.step for pair in found.pairs] == [0]
    assert found.dropped == {"a prefix with turns of others": 1}


def test_what_is_missing_is_named() -> None:
    good = trace({0: [("a2", 1.0)], 1: [("q", 0.0)]})
    assert "step-rollout" in error({k: v for k, v in good.items() if k != "tree"})
    assert "step-split" in error({k: v for k, v in good.items() if k != "split"})
    assert 'field "split"' in error({**good, "split": "lines"})
    assert "step-label" in error(good, rule="first-error")
    assert 'field "labels.x"' in error({**good, "labels": {"hard": {}}}, rule="first-error", at="x")
    assert "labels.hard.first" in error({**good, "labels": {"hard": {"first": 9}}},
                                        rule="first-error")  # fmt: skip
    half = trace({0: [("a2", 0.5)]})
    assert 'field "tree.outcome[4]"' in error(half)


def test_one_bad_record_does_not_spoil_its_block() -> None:
    good = trace({0: [("a2\n", 1.0)], 1: [("q", 0.0)]})
    results = pairs.find([good, {"problem": "p"}, good], Settings())
    assert isinstance(results[1], DataError)
    assert results[0] == results[2] == one(good)
    assert pairs.find([], Settings()) == []


def test_rows_are_flat_and_typed() -> None:
    record = trace({0: [("a2\nx", 1.0)], 1: [("q", 0.0)]})
    row = trainers.TRAINERS["trl-dpo"].row(only(record), record, Layout())
    assert row == {
        "id": row["id"],
        "group": "t",
        "prompt": "2 + 2?\n",
        "chosen": "a2\nx",
        "rejected": "a1\nb1\nc1",
        "score_chosen": 1.0,
        "score_rejected": 0.0,
        "gap": 1.0,
        "probability": pytest.approx(5 / 6),
        "k_chosen": 1,
        "n_chosen": 1,
        "k_rejected": 0,
        "n_rejected": 1,
        "step": 0,
        "rule": "best-worst",
        "scope": "continuation",
        "prefix_chars": 1,
        "source": "t/0",
    }
    kinds = {"score_chosen": float, "score_rejected": float, "gap": float, "k_chosen": int}
    assert all(type(row[key]) is kind for key, kind in kinds.items())
    reserved = {"margin", "label", "completion", "messages", "prompts", "completions", "images",
                "input_ids", "prompt_ids", "chosen_ids", "rejected_ids", "tools", "reference",
                "ref_chosen_logps", "ref_rejected_logps", "chat_template_kwargs"}  # fmt: skip
    assert not reserved & set(row)


def test_ids_are_hashes_of_the_texts() -> None:
    record = trace({0: [("a2\nx", 1.0)], 1: [("q", 0.0)]})
    row = trainers.trl_dpo(only(record), record, Layout())
    again = trainers.trl_dpo(only(record), {**record, "id": "other"}, Layout())
    assert row["id"] == again["id"] and again["source"] == "other"
    other = trainers.trl_dpo(only(record), record, Layout(prompt="Q: {problem}\n"))
    assert other["id"] != row["id"] and other["prompt"] == "Q: 2 + 2?\n"


def test_a_template_is_plain_text_around_the_problem() -> None:
    record = trace({0: [("a2", 1.0)], 1: [("q", 0.0)]}, problem="{x} and {problem}")
    row = trainers.trl_dpo(only(record), record, Layout(prompt="{0} {problem}\n{}"))
    assert row["prompt"] == "{0} {x} and {problem}\n{}"


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected", "moved"),
    [
        ("Q.\n", "a", "b", ("Q.\n", "a", "b")),
        ("Q.", "\n\na", "\n\nb", ("Q.\n\n", "a", "b")),
        ("Q.", "\n\na", "\nb", ("Q.\n", "\na", "b")),
        ("Q.", "\na", "b", ("Q.", "\na", "b")),
        ("A: ", "7", "8", ("A:", " 7", " 8")),
        ("A:", " 7", " 8", ("A:", " 7", " 8")),
        ("a\n ", "b", "c", ("a\n", " b", " c")),
        ("", "\n", "\nb", ("\n", "", "b")),
    ],
)
def test_newlines_stay_with_the_prompt_and_spaces_go_with_the_word(
    prompt: str, chosen: str, rejected: str, moved: tuple[str, str, str]
) -> None:
    assert trainers.boundary(prompt, chosen, rejected) == moved
    assert (moved[0] + moved[1], moved[0] + moved[2]) == (prompt + chosen, prompt + rejected)


def test_compiled_pairs_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    record = trace({0: [("a2\n", 1.0), ("a3\n", 0.0)], 1: [("q", 0.0)]})
    plain = pairs.find([record] * 3, Settings())
    monkeypatch.setattr("stepkit.core.jit.REPAID", 0)
    assert pairs.find([record] * 3, Settings()) == plain


def test_command_writes_rows(work: Workdir) -> None:
    record = trace({0: [("a2\nx", 1.0)], 1: [("q", 0.0), ("b2", 1.0)]})
    work.write("in.jsonl", json.dumps(record) + "\n")
    done = work.run("step-pairs", "in.jsonl", "--prompt", "Q: {problem}\\nA: ", "-v")
    assert done.status == 0
    rows = [json.loads(line) for line in done.lines]
    assert [(row["step"], row["prompt"]) for row in rows] == [
        (0, "Q: 2 + 2?\nA:"),
        (1, "Q: 2 + 2?\nA: a1\n"),
    ]
    assert rows[0]["chosen"] == " a2\nx"
    assert b'"score_chosen":1.0,' in done.lines[0]  # a float has a point
    assert done.err == "step-pairs: 2 pairs of 1 traces; not: 1 fewer than two rivals\n"
    quiet = work.run("step-pairs", "in.jsonl")
    assert (quiet.err, quiet.status) == ("", 0)


def test_command_writes_the_pairs_of_siblings_once(work: Workdir) -> None:
    one = trace({0: [("a2\nx", 1.0)], 1: [("q", 0.0)]})
    other = {**one, "group": "u", "id": "u/0"}
    lines = [json.dumps(record) + "\n" for record in (one, {**one, "id": "t/1"}, other, one)]
    work.write("in.jsonl", "".join(lines))
    done = work.run("step-pairs", "in.jsonl", "-v")
    rows = [json.loads(line) for line in done.lines]
    assert [row["source"] for row in rows] == ["t/0", "u/0", "t/0"]
    assert "1 already made" in done.err


def test_command_rejects_a_record_without_a_problem_alone(work: Workdir) -> None:
    good = trace({0: [("a2\nx", 1.0)], 1: [("q", 0.0)]})
    bad = {key: value for key, value in good.items() if key != "problem"}
    work.write("in.jsonl", "".join(json.dumps(record) + "\n" for record in (bad, good)))
    done = work.run("step-pairs", "in.jsonl", "--on-error", "skip")
    assert (done.status, len(done.lines)) == (1, 1)


def test_command_says_why_there_is_nothing(work: Workdir) -> None:
    record = trace({0: [("a2", 0.0)], 1: [("q", 0.0)]}, labels={"hard": {"first": -1}})
    work.write("in.jsonl", json.dumps(record) + "\n")
    done = work.run("step-pairs", "in.jsonl", "--rule", "first-error")
    assert (done.status, done.out) == (0, b"")
    assert done.err == "step-pairs: 0 pairs of 1 traces; not: 1 no error\n"
    assert work.run("step-pairs", "in.jsonl", "--rule", "first-error", "-q").err == ""


@pytest.mark.parametrize(
    ("options", "complaint"),
    [(["--at", "gold"], "--at has no effect"), (["--prompt", "Q:"], "no {problem}")],
)
def test_command_refuses_what_would_do_nothing(
    work: Workdir, options: list[str], complaint: str
) -> None:
    done = work.run("step-pairs", *options)
    assert (done.status, done.out) == (2, b"")
    assert complaint in done.err and done.err.count("\n") == 1
