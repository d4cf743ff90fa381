"""Labels against cases worked out by hand."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from labelling import error, one, trace
from work import Workdir

from stepkit.core import labels
from stepkit.core import tree as trees
from stepkit.core.labels import LabelSettings, parse_first_error
from stepkit.core.labels.counting import CountedTraces
from stepkit.core.labels.first_error import first_below, first_drop, first_zero
from stepkit.errors import DataError, UsageError
from stepkit.schema import Json


def test_value_counts_the_draws_at_each_prefix() -> None:
    made = one(trace(["a\n", "b\n", "c"], {0: [1, 0, 0, 1], 1: [1, 1, 1, 0], 2: [0, 0, 0, 0]}, 0.0))
    value = made["value"]
    assert list(made) == ["value", "hard", "progress"]
    assert (value["of"], value["by"]) == ("value", "sampler")
    assert value["x"] == [0.75, 0.0, 0.0]
    assert value["k"] == [3, 0, 0] and value["n"] == [4, 4, 1]
    assert all(type(k) is int for k in value["k"])
    assert value["undecided"] == [0, 0, 0]
    assert value["root"] | {"low": 0, "high": 0} == {
        "x": 0.5, "k": 2, "n": 4, "undecided": 0, "low": 0, "high": 0,
    }  # fmt: skip
    assert value["low"][1] == 0.0 and value["high"][1] == pytest.approx(3.8416 / 7.8416)
    assert (value["low"][2], value["high"][2]) == (0.0, 0.0)  # the verdict is known
    assert value["meta"] == {"sampler": "aa", "undecided": "apart", "z": 1.96}
    assert made["progress"]["x"] == [0.25, -0.75, 0.0]
    assert made["progress"]["of"] == "progress"
    assert made["hard"]["x"] == [1, 0, 0]
    assert made["hard"]["first"] == 1


def test_soft_is_value_without_the_interval() -> None:
    made = one(trace(["a", "b"], {0: [1], 1: [0, 1]}), "soft", "value")
    assert list(made) == ["soft", "value"]
    assert made["soft"]["x"] == made["value"]["x"] == [0.5, 1.0]
    assert "low" not in made["soft"] and "low" not in made["soft"]["root"]


def test_the_interval_widens_with_z() -> None:
    record = trace(["a", "b"], {0: [1], 1: [0]})
    assert one(record, "value:z=2")["value"]["high"][0] == pytest.approx(4 / 5)
    assert one(record, "value:z=1")["value"]["high"][0] == pytest.approx(1 / 2)


def test_undecided_draws_stand_apart_or_count_as_wrong() -> None:
    record = trace(["a", "b"], {0: [1, None], 1: [None, None, 1, 0]}, None)
    apart = one(record)["value"]
    assert apart["x"] == [0.5, None]
    assert (apart["k"], apart["n"], apart["undecided"]) == ([1, 0], [2, 0], [2, 1])
    assert apart["root"]["n"] == 1 and apart["root"]["undecided"] == 1
    assert (apart["low"][1], apart["high"][1]) == (None, None)
    wrong = one(record, undecided="wrong")["value"]
    assert wrong["x"] == [0.25, 0.0]
    assert (wrong["k"], wrong["n"], wrong["undecided"]) == ([1, 0], [4, 1], [0, 0])
    assert wrong["root"]["x"] == 0.5
    assert wrong["meta"]["undecided"] == "wrong"


def test_failed_draws_are_in_neither_count() -> None:
    record = trace(["a", "b"], {0: [1], 1: [0]})
    trees.add(record["tree"], 1, "", whole=True, finish="error", by=0, draw=1)
    value = one(record)["value"]
    assert (value["n"][0], value["undecided"][0]) == (1, 0)
    assert one(record, undecided="wrong")["value"]["n"][0] == 1


def test_topped_up_evidence_counts_each_draw_once() -> None:
    record = trace(["a", "b"], {0: [1], 1: [0, 1]})
    trees.add(record["tree"], 1, "", whole=True, finish="error", by=0, draw=2)
    trees.add(record["tree"], 1, "", whole=True, finish="stop", outcome=1.0, by=0, draw=2)
    trees.add(record["tree"], 1, "", whole=True, finish="stop", outcome=1.0, by=0, draw=1)
    value = one(record)["value"]
    assert (value["k"][0], value["n"][0]) == (2, 3)


def test_draws_of_later_prefixes_are_not_summed_in() -> None:
    value = one(trace(["a", "b", "c"], {0: [0], 2: [1, 1, 1]}))["value"]
    assert value["x"] == [None, 1.0, 1.0]
    assert value["root"]["x"] == 0.0


def test_steps_of_draws_and_cuts_are_not_continuations() -> None:
    record = trace(["a", "b"], {1: [1]})
    tree = record["tree"]
    add = {"finish": "stop", "outcome": 0.0, "by": 0}
    trees.add(tree, 1, "b", whole=False, draw=1, **add)  # type: ignore[arg-type]
    trees.add(tree, 1, "b", whole=True, draw=2, cut=3, **add)  # type: ignore[arg-type]
    assert one(record)["value"]["n"][0] == 1


def test_no_draws_at_all_leaves_only_the_verdict() -> None:
    made = one(trace(["a", "b"], {}, 0.0))
    assert made["value"]["x"] == [None, 0.0]
    assert made["value"]["root"]["x"] is None
    assert made["value"]["meta"]["sampler"] == ""
    assert made["progress"]["x"] == [None, None]
    assert made["hard"]["first"] is None


def test_a_trace_of_one_step() -> None:
    made = one(trace(["a"], {0: [1, 0, 0, 1]}, 0.0))
    assert made["value"]["x"] == [0.0] and made["value"]["n"] == [1]
    assert made["progress"]["x"] == [-0.5]
    assert made["hard"]["first"] == 0


def test_a_bare_problem_has_only_a_root() -> None:
    record = trace([], {0: [1, 1, 0]})
    del record["response"], record["steps"]
    value = one(record)["value"]
    assert value["x"] == [] and value["root"]["k"] == 2


def test_a_trace_that_ran_out_of_length_is_undecided() -> None:
    value = one(trace(["a", "b"], {0: [1], 1: [1]}, None, "length"))["value"]
    assert (value["x"][1], value["n"][1], value["undecided"][1]) == (None, 0, 1)


def test_a_trace_that_failed_is_neither() -> None:
    value = one(trace(["a", "b"], {0: [1], 1: [1]}, None, "error"))["value"]
    assert (value["x"][1], value["n"][1], value["undecided"][1]) == (None, 0, 0)


def test_a_later_verdict_fills_in() -> None:
    value = one(trace(["a"], {}, None, correct=True))["value"]
    assert (value["x"], value["n"]) == ([1.0], [1])


def test_another_number_as_outcome() -> None:
    value = one(trace(["a", "b"], {0: [0.5, 1], 1: [-1, 3]}))["value"]
    assert value["root"]["k"] == 1.5 and value["root"]["low"] is not None
    assert value["x"][0] == 1.0
    value = one(trace(["a", "b"], {1: [5, 3]}))["value"]
    assert value["x"][0] == 4.0 and value["low"][0] is None  # no rate


def test_steps_of_others_are_never_labelled() -> None:
    record = trace(
        ["a", "tool says", "b", "c"],
        {0: [1, 1], 1: [1, 0], 2: [0, 1, 1, 1], 3: [0, 0]},
        0.0,
        role=["assistant", "tool", "assistant", "assistant"],
    )
    made = one(record)
    assert made["value"]["x"] == [0.5, None, 0.0, 0.0]
    assert made["value"]["k"][1] is made["value"]["n"][1] is made["value"]["low"][1] is None
    assert made["progress"]["x"] == [-0.5, None, -0.75, 0.0]  # against what the tool left behind
    assert made["hard"]["x"] == [1, None, 0, 0]
    assert made["hard"]["first"] == 2


def test_several_samplers_must_be_chosen_between() -> None:
    record = trace(["a", "b"], {0: [1], 1: [0]})
    tree = record["tree"]
    by = trees.sampler_index(tree, {"id": "7"})
    for number, outcome in enumerate([1.0, 1.0, 0.0]):
        trees.add(tree, 1, "", whole=True, finish="stop", outcome=outcome, by=by, draw=number)
    assert "--sampler" in error(record) and "0 (aa), 1 (7)" in error(record)
    assert one(record, sampler="0")["value"]["n"][0] == 1
    assert one(record, sampler="aa")["value"]["n"][0] == 1
    assert one(record, sampler="1")["value"]["n"][0] == 3
    assert one(record, sampler="7")["value"]["meta"]["sampler"] == "7"
    assert 'no sampler "2"' in error(record, sampler="2")


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ([0.5, 1.0, 0.5, 1.0], -1),
        ([0.5, 1.0, 0.0, 0.0], 1),
        ([0.5, 0.0, 0.0, 0.0], 0),
        ([0.0, 0.0, 0.0, 0.0], None),  # it never got there anyway
        ([None, 0.0, 0.0, 0.0], None),
        ([None, 0.5, 0.0, 0.0], 1),  # the root is not needed
        ([0.0, 0.5, 0.0, 0.0], 1),
        ([0.5, None, 0.0, 0.0], None),  # the undecided step may be the first
        ([0.5, 0.5, 0.0, None], 1),
        ([0.5, 0.5, 0.5, None], None),
        ([None, None, 0.5, 0.0], 2),  # as a bisection leaves it
        ([0.5, None, 0.5, None], None),
        ([0.5, None, 0.0, 0.5], None),  # what comes after the hit vouches for nothing
        ([0.5, None, None, 1.0], -1),
        ([0.5], -1),
    ],
)
def test_first_zero(values: list[float | None], first: int | None) -> None:
    assert first_zero(values, [True] * (len(values) - 1)) == first


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ([0.8, 0.4, 0.3, 1.0], 1),  # 0.4 is half of 0.8, not below it
        ([0.8, 0.8, 0.9, 1.0], -1),
        ([0.0, 0.0, 0.0, 0.0], None),
        ([None, 0.5, 0.0, 0.0], None),
        ([1.0, None, 0.0, 0.0], None),
        ([1.0, None, 0.6, 0.0], 2),
        ([1.0, None, 0.4, 0.6], None),
    ],
)
def test_first_drop(values: list[float | None], first: int | None) -> None:
    assert first_drop(values, [True, True, True], 0.5) == first


def test_first_below_steps_over_others() -> None:
    own = [True, False, True, True]
    assert first_below([None, 0.9, 0.1, 0.5, 0.4], own, 0.5) == 3
    assert first_below([None, 0.9, None, 0.5, 0.5], own, 0.5) == -1
    assert first_below([None, None, 0.9, 0.5, 0.4], own, 0.5) is None


@pytest.mark.parametrize("text", ["", "drop", "drop:", "drop:0", "drop:1.5", "zero:1", "below:nan",
                                  "below:x", "above:1", "drop:nan"])  # fmt: skip
def test_bad_rules_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError, match="no rule"):
        parse_first_error(text)


def test_first_is_written_beside_the_defaults() -> None:
    record = trace(["a", "b", "c"], {0: [1, 1, 1, 1], 1: [1, 1, 1, 0], 2: [1, 0, 0, 0]})
    made = one(record, first=parse_first_error("drop:0.5"))
    assert list(made) == ["value", "hard", "progress", "first"]
    assert made["first"] == {
        "of": "value",
        "by": "sampler",
        "first": 1,
        "meta": {"rule": "drop:0.5", "sampler": "aa", "undecided": "apart"},
    }
    assert one(record, first=parse_first_error("zero"))["first"]["first"] == -1
    assert one(record, first=parse_first_error("below:0.8"))["first"]["first"] == 0


def scored(**more: Any) -> Json:
    score = {"of": "validity", "by": "scorer", "x": [0.9, 0.2]}
    return {"problem": "p", "response": "ab", "steps": ["a", "b"], "scores": {"prm": score}} | more


def test_first_below_on_a_score_needs_no_tree() -> None:
    rule = parse_first_error("below:0.5")
    expected = {
        "of": "validity",
        "by": "scorer",
        "first": 1,
        "meta": {"rule": "below:0.5", "score": "prm"},
    }
    assert one(scored(), first=rule) == {"first": expected}
    assert one(scored(), first=rule, score="prm") == {"first": expected}
    both = trace(["a", "b"], {0: [1], 1: [1]}, scores=scored()["scores"])
    assert one(both, first=rule)["first"]["first"] == -1  # the values, where there are some
    made = one(both, first=rule, score="prm")
    assert made["first"] == expected and "value" in made


def test_what_is_missing_is_named() -> None:
    rule = parse_first_error("below:0.5")
    bare = {"problem": "p", "response": "ab", "steps": ["a", "b"]}
    assert "step-rollout" in error(bare)
    assert "step-rollout" in error(scored())
    assert "step-rollout" in error(scored(), "value", first=rule)
    assert 'field "scores.x"' in error(scored(), first=rule, score="x")
    two = scored(scores={"a": {"x": [1, 1]}, "b": {"x": [1, 1]}})
    assert "a, b" in error(two, first=rule) and "--from" in error(two, first=rule)
    assert 'field "scores.prm.x"' in error(scored(scores={"prm": {"x": [1]}}), first=rule)
    assert "scores.prm.x[1]" in error(scored(scores={"prm": {"x": [1, "a"]}}), first=rule)
    assert 'field "role"' in error(trace(["a", "b"], {}, role=["assistant"]))
    far = trace(["a", "b"], {0: [1]})
    far["tree"]["draw"][3] = 2**63
    assert 'field "tree.draw"' in error(far)
    far["tree"]["samplers"] = ["aa"]
    far["tree"]["draw"][3] = 0
    assert 'field "tree.samplers[0]"' in error(far)
    short = trace(["a", "b"], {})
    short["tree"]["spine"].pop()
    assert 'field "tree.spine"' in error(short)
    other = trace(["a", "b"], {})
    other["tree"]["text"][2] = "c"
    assert 'field "tree.spine[1]"' in error(other)


def test_one_bad_record_does_not_spoil_its_block() -> None:
    good = trace(["a", "b"], {0: [1], 1: [0]})
    results = labels.label([good, {"problem": "p"}, good], LabelSettings())
    assert isinstance(results[1], DataError)
    assert results[0] == results[2] == one(good)
    assert labels.label([], LabelSettings()) == []


def test_compiled_labels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    record = trace(["a", "b"], {0: [0.1, 0.2, 0.3], 1: [1, None, 0]})
    plain = labels.label([record] * 3, LabelSettings())
    monkeypatch.setattr("stepkit.core.jit.REPAID", 0)
    assert labels.label([record] * 3, LabelSettings()) == plain


def test_command_appends_labels_and_keeps_every_other_byte(work: Workdir) -> None:
    record = trace(["a", "b"], {0: [1], 1: [0]})
    line = json.dumps(record)[:-1]
    gold = '"labels" : {"gold": {"x": [1.10, 18446744073709551617]} }'
    work.write("in.jsonl", f'{line}, "n":1.10, {gold}}}\n{line}}}\n')
    done = work.run("step-label", "in.jsonl")
    assert (done.status, done.err) == (0, "")
    first, second = done.lines
    kept, new = first.split(b'"value":', 1)
    assert kept.decode().startswith(f'{line}, "n":1.10, {gold[:-2]}')
    assert new.endswith(b'"stepkit":1}')
    assert list(json.loads(first)["labels"]) == ["gold", "value", "hard", "progress"]
    assert json.loads(second)["labels"] == one(record)


def test_command_replaces_its_own_labels_in_place(work: Workdir) -> None:
    work.write("in.jsonl", json.dumps(trace(["a", "b"], {0: [1], 1: [0, None]})) + "\n")
    once = work.run("step-label", "in.jsonl").out
    assert work.run("step-label", input=once).out == once
    wrong = work.run("step-label", "--undecided", "wrong", input=once).lines[0]
    assert json.loads(wrong)["labels"]["value"]["n"] == [2, 1]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--from", "prm"], "--from has no effect"),
        (["--from", "prm", "--first", "tested"], "--from has no effect"),
        (["--first", "drop"], "no rule"),
        (["--label", "mean"], 'no label "mean"'),
        (["--label", "value:z=-1"], "--label value:z=-1: z=-1: expected a number from 0"),
        (["--label", "soft", "--label", "soft:backup=max"], "asked for twice"),
        (["--pool"], "--pool has no effect"),
        (["--regroup"], "--regroup has no effect"),
        (["--nodes", "--label", "gae"], "--nodes has no effect"),
        (["--label", "soft:as=first", "--first", "zero"], "labels.first"),
        (["--merge", "0"], "--merge"),
    ],
)
def test_command_refuses_what_would_do_nothing(
    work: Workdir, options: list[str], complaint: str
) -> None:
    done = work.run("step-label", *options)
    assert (done.status, done.out) == (2, b"")
    assert complaint in done.err and done.err.count("\n") == 1


def test_command_names_the_line(work: Workdir) -> None:
    good = json.dumps(trace(["a"], {}))
    work.write("in.jsonl", f'{good}\n\n{{"problem": "p"}}\n')
    done = work.run("step-label", "in.jsonl")
    assert done.status == 3 and len(done.lines) == 1
    assert done.err.startswith('step-label: in.jsonl:3: no "tree": run step-rollout')


def test_command_lists_the_labels(work: Workdir) -> None:
    done = work.run("step-label", "--list")
    assert (done.status, done.err) == (0, "")
    assert done.out.decode() == labels.listing() + "\n"


def test_command_pools_groups(work: Workdir) -> None:
    records = []
    for number, steps in enumerate([["a\n", "b"], ["a\n", "c\n", "d"], ["x"]]):
        record = trace(steps, {1: [1.0, 0.0]} if number < 2 else {}, 0.0, id=str(number))
        record |= {"split": {"by": "lines"}, "group": "g" if number < 2 else "h"}
        record["tree"]["draw"] = [d + 2 * number if d >= 0 else d for d in record["tree"]["draw"]]
        records.append(record)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    label = ["--label", "soft:backup=pooled"]
    apart = [json.loads(line) for line in work.run("step-label", *label, input=lines).lines]
    assert [one["labels"]["soft"]["n"] for one in apart] == [[2, 1], [2, 0, 1], [1]]
    done = work.run("step-label", "--pool", *label, input=lines)
    assert (done.status, done.err) == (0, "")
    pooled = [json.loads(line) for line in done.lines]
    assert [one["labels"]["soft"]["n"] for one in pooled] == [[4, 1], [4, 0, 1], [1]]
    mixed = "".join(json.dumps(records[index]) + "\n" for index in (0, 2, 1))
    assert "--regroup" in work.run("step-label", "--pool", *label, input=mixed).err
    sorted_again = work.run("step-label", "--pool", "--regroup", *label, input=mixed)
    assert sorted(sorted_again.lines) == sorted(done.lines)
    records[1]["tree"]["spine"] = []
    bad = "".join(json.dumps(record) + "\n" for record in records)
    failed = work.run("step-label", "--pool", *label, input=bad)
    assert failed.status == 3 and failed.err.startswith("step-label: <stdin>:2: ")


def test_command_labels_nodes_and_keeps_the_tree(work: Workdir) -> None:
    record = trace(["a", "b"], {0: [1], 1: [0, None]})
    text = json.dumps(record)
    line = text.replace('"spine"', '"mine": [1.10], "labels": {"old": {}}, "spine"') + "\n"
    done = work.run("step-label", "--nodes", "--label", "soft", "--label", "gae", input=line)
    assert (done.status, done.err) == (0, "")
    made = json.loads(done.lines[0])
    assert list(made["labels"]) == ["soft", "gae"]
    assert list(made["tree"]["labels"]) == ["old", "soft"]
    assert made["tree"]["labels"]["soft"]["x"] == [1.0, 0.0, 1.0, 1.0, 0.0, None]
    assert b'"mine": [1.10]' in done.lines[0]
    assert work.run("step-label", "--nodes", "--label", "soft", input=done.out).out == done.out


@pytest.mark.parametrize("rule", [None, "posterior", "drop:0.5"])
def test_nothing_holds_a_block_when_it_is_done(rule: str | None) -> None:
    """Cached evidence and the tracebacks of errors did, in circles: memory grew with the input."""
    good = trace(["a", "b"], {0: [1], 1: [0]})
    bad = trace(["a", "b"], {0: [1]}, role=["assistant"])
    lost = trace(["a", "b"], {0: [0.5]}, samplers=[])
    first = None if rule is None else parse_first_error(rule)
    gc.collect()
    gc.disable()
    try:
        results = labels.label([good, bad, lost], LabelSettings(first=first))
        held = [one for one in gc.get_objects() if isinstance(one, CountedTraces)]
    finally:
        gc.enable()
    assert len(results) == 3 and not held
