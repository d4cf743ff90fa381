"""The Python interface: the commands' numbers from plain dicts, and numbers worked out by hand."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from work import ROOT, Workdir, clean_environment

import stepkit
from stepkit import api
from stepkit.schema import Json

TRACES = ROOT / "samples" / "traces.jsonl"


def written(work: Workdir, name: str, records: list[Json]) -> Path:
    return work.write(name, "".join(json.dumps(record) + "\n" for record in records))


def command(work: Workdir, name: str, *arguments: str | Path) -> list[Json]:
    """The records that a command writes."""
    done = work.run(name, *arguments)
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.lines]


def drawn_tree() -> Json:
    """Two steps; of four draws at the root three are right, of three after step 0 one, one open."""
    tree = stepkit.new_tree(["1 + 1 = 3\n", "Answer: 3"])
    by = stepkit.add_sampler(tree, "policy")
    for draw, outcome in enumerate([1, 1, 0, 1]):
        text = f"1 + 1 = 2\nAnswer: {2 if outcome else 5}"
        stepkit.add_node(tree, 0, text, outcome=outcome, by=by, draw=draw)
    after_step: list[int | None] = [0, 1, None]
    for draw, verdict in enumerate(after_step):
        text = f"Answer: {2 if verdict else 3}"
        stepkit.add_node(tree, 1, text, outcome=verdict, by=by, draw=draw)
    return tree


def evidence() -> Json:
    return {
        "id": "sum/0",
        "group": "sum",
        "problem": "1 + 1?",
        "answer": "2",
        "response": "1 + 1 = 3\nAnswer: 3",
        "steps": ["1 + 1 = 3\n", "Answer: 3"],
        "split": {"by": "lines"},
        "final": "3",
        "correct": False,
        "tree": drawn_tree(),
    }


def scored() -> list[Json]:
    """Three attempts at one problem: the second has the best worst step, two agree on 5."""
    attempts = [("5", [0.9, 0.2], False), ("7", [0.6, 0.5], True), ("5", [0.4, 0.9], False)]
    return [
        {
            "id": f"p/{number}",
            "group": "p",
            "problem": "3 + 4?",
            "answer": "7",
            "response": f"Well.\nAnswer: {final}",
            "steps": ["Well.\n", f"Answer: {final}"],
            "final": final,
            "correct": right,
            "scores": {"prm": {"of": "validity", "by": "scorer", "x": x}},
        }
        for number, (final, x, right) in enumerate(attempts)
    ]


# ---- the names -------------------------------------------------------------------------------


def test_the_package_has_the_names_of_the_interface_and_nothing_else_of_theirs() -> None:
    assert stepkit.__all__ == api.__all__ == sorted(api.__all__)
    modules = {path.stem for path in (ROOT / "stepkit").iterdir()}
    assert not modules & set(api.__all__), "importing that module would hide the function"
    for name in api.__all__:
        assert getattr(stepkit, name) is getattr(api, name)
        assert name in dir(stepkit)
    with pytest.raises(AttributeError, match="'stepkit' has no attribute 'labels'"):
        _ = stepkit.labels  # type: ignore[attr-defined]


def test_every_name_is_described_and_typed() -> None:
    for name in api.__all__:
        one = getattr(api, name)
        assert one.__doc__, name
        if inspect.isfunction(one):
            hints = inspect.signature(one)
            assert hints.return_annotation is not inspect.Signature.empty, name
            for parameter in hints.parameters.values():
                assert parameter.annotation is not inspect.Parameter.empty, (name, parameter)
    assert (ROOT / "stepkit" / "py.typed").exists()


def test_importing_the_package_loads_no_interface_and_the_interface_nothing_heavy() -> None:
    heavy = {"click", "httpx", "llama_cpp", "math_verify", "numba", "numpy", "orjson"}
    code = (
        "import sys, stepkit, stepkit.schema; from stepkit import seeds\n"
        "assert 'stepkit.api' not in sys.modules\n"
        "stepkit.wilson; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(ROOT),
        capture_output=True,
        text=True,
        check=True,
    )
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize("name", ["split", "label", "pairs", "rerank"])
def test_the_defaults_are_those_of_the_command(name: str) -> None:
    main = importlib.import_module(f"stepkit.cli.{name}").main
    taken = main.make_context(name, [], resilient_parsing=True).params
    named = {"labels": "names"}
    # what the command means by "not given"
    spelled: dict[str, dict[Any, Any]] = {"keep": {1: None}, "by": {None: "block"}}
    for key, parameter in inspect.signature(getattr(api, name)).parameters.items():
        if parameter.default is inspect.Parameter.empty:
            continue
        default = spelled.get(key, {}).get(parameter.default, parameter.default)
        command_default = taken[named.get(key, key)]
        if isinstance(command_default, str):
            command_default = command_default.replace("\\n", "\n")
        assert (default or None) == (command_default or None), key


# ---- records ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_records_come_back_as_they_were_written(tmp_path: Path, name: str) -> None:
    records = [evidence(), *scored()]
    assert stepkit.write_records(records, tmp_path / name) == 4
    assert stepkit.read_records(tmp_path / name) == records
    assert list(stepkit.iterate_records(tmp_path / name)) == records


def test_a_bad_record_is_named_by_its_place_and_no_file_appears(tmp_path: Path) -> None:
    bad = {**evidence(), "steps": ["1 + 1 = 3\n"]}
    with pytest.raises(stepkit.DataError, match=r'^records\[1\]: field "steps": the steps do not'):
        stepkit.write_records([evidence(), bad], tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    (tmp_path / "in.jsonl").write_text(json.dumps(bad) + "\n")
    with pytest.raises(stepkit.DataError, match=r'in.jsonl:1: field "steps"'):
        stepkit.read_records(tmp_path / "in.jsonl")
    assert stepkit.read_records(tmp_path / "in.jsonl", check=False) == [bad]
    with pytest.raises(stepkit.UsageError, match=r"none\.jsonl: no such file"):
        stepkit.read_records(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": []}, "id"),
        ({"correct": 1}, "correct"),
        ({"role": ["user"]}, "role"),
        ({"scores": {"prm": {"x": [0.5]}}}, "scores.prm.x"),
        ({"labels": {"value": {"x": [0.5, "1"]}}}, "labels.value.x[1]"),
        ({"tree": {}}, "tree.parent"),
        ({"stepkit": 99}, "stepkit"),
    ],
)
def test_what_is_no_record_is_named_by_its_field(changes: Json, field: str) -> None:
    stepkit.check_record(evidence())
    with pytest.raises(stepkit.DataError) as caught:
        stepkit.check_record({**evidence(), **changes})
    assert caught.value.field == field


def test_a_record_of_a_list_is_none(tmp_path: Path) -> None:
    with pytest.raises(stepkit.DataError, match="expected an object, got a list"):
        stepkit.check_record([])  # type: ignore[arg-type]


# ---- as the commands do it -------------------------------------------------------------------


def test_split_is_step_split(work: Workdir) -> None:
    records = stepkit.read_records(TRACES)
    before = copy.deepcopy(records)
    assert stepkit.split(records) == command(work, "step-split", TRACES)
    wanted = command(work, "step-split", "--grade", "--by", "regex", "--pattern", "so", TRACES)
    assert stepkit.split(records, "regex", pattern="so", grade=True) == wanted
    assert records == before, "the records that were given are as they were"


def test_split_names_the_record_that_cannot_be_cut() -> None:
    with pytest.raises(stepkit.DataError, match=r'^records\[1\]: field "response": expected'):
        stepkit.split([evidence(), {"problem": "p", "response": 3}])
    with pytest.raises(stepkit.UsageError, match="--by regex needs --pattern"):
        stepkit.split([], "regex")


@pytest.mark.parametrize(
    ("labels", "options", "arguments"),
    [
        ((), {}, ()),
        ("soft", {"first": "zero"}, ("--label", "soft", "--first", "zero")),
        ("value", {"merge": 2}, ("--label", "value", "--merge", "2")),
        (
            ["value:z=1", "gae:lambda=0.9"],
            {"undecided": "wrong", "nodes": True},
            (
                "--label",
                "value:z=1",
                "--label",
                "gae:lambda=0.9",
                "--undecided",
                "wrong",
                "--nodes",
            ),
        ),
    ],
)
def test_label_is_step_label(work: Workdir, labels: Any, options: Json, arguments: Any) -> None:
    wanted = command(work, "step-label", *arguments, written(work, "in.jsonl", [evidence()]))
    given = evidence()
    assert stepkit.label([given], labels, **options) == wanted
    assert given == evidence()


def test_labels_by_hand() -> None:
    (made,) = stepkit.label([evidence()], "value")
    value = made["labels"]["value"]
    assert (value["root"]["k"], value["root"]["n"]) == (3, 4)
    assert (value["x"], value["k"], value["n"]) == ([0.5, 0.0], [1, 0], [2, 1])
    assert value["undecided"] == [1, 0]


def test_pooled_labels_take_the_records_of_a_group_wherever_they_stand(work: Workdir) -> None:
    other = {**evidence(), "id": "b", "group": "b"}
    together = [evidence(), {**evidence(), "id": "sum/1"}, other]
    wanted = command(
        work,
        *("step-label", "--label", "value:backup=pooled", "--pool"),
        written(work, "in.jsonl", together),
    )
    apart = [together[0], other, together[1]]
    assert stepkit.label(apart, "value:backup=pooled", pool=True) == wanted


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, ()),
        ({"to": "trl-prm", "at": "value"}, ("--to", "trl-prm", "--at", "hard")),
        ({"rule": "all", "max_per_problem": 1}, ("--rule", "all", "--max-per-problem", "1")),
        (
            {"to": "plain", "prompt": "Q: {problem}\n", "scope": "step"},
            ("--to", "plain", "--prompt", "Q: {problem}\\n", "--scope", "step"),
        ),
    ],
)
def test_pairs_are_the_rows_of_step_pairs(work: Workdir, options: Json, arguments: Any) -> None:
    if options.get("at"):
        options = {**options, "at": "hard"}
    labelled = stepkit.label([evidence()], ["hard"])
    wanted = command(work, "step-pairs", *arguments, written(work, "in.jsonl", labelled))
    assert wanted
    assert stepkit.pairs(labelled, **options) == wanted
    assert stepkit.check_rows(wanted, options.get("to", "trl-dpo")) == []


def test_pairs_refuse_what_has_no_effect() -> None:
    with pytest.raises(stepkit.UsageError, match="--top has no effect with --rule best-worst"):
        stepkit.pairs([evidence()], top=3)
    with pytest.raises(stepkit.UsageError, match='no trainer "tlr"; there are trl-dpo, '):
        stepkit.check_rows([], "tlr")


def test_check_rows_names_the_row() -> None:
    rows = [{"prompt": "p", "chosen": "a", "rejected": "a"}]
    assert any(found.startswith("rows[0]: ") for found in stepkit.check_rows(rows, "trl-dpo"))


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, ()),
        (
            {"by": "weighted", "aggregate": "product"},
            ["--by", "weighted", "--aggregate", "product"],
        ),
        ({"by": "majority", "keep": None}, ("--by", "majority", "--all")),
        ({"by": "weighted", "map": "rank:p=2"}, ("--by", "weighted", "--map", "rank:p=2")),
    ],
)
def test_rerank_is_step_rerank(work: Workdir, options: Json, arguments: Any) -> None:
    wanted = command(work, "step-rerank", *arguments, written(work, "in.jsonl", scored()))
    assert stepkit.rerank(scored(), **options) == wanted


def test_rerank_by_hand() -> None:
    assert [one["id"] for one in stepkit.rerank(scored())] == ["p/1"]
    (chosen,) = stepkit.rerank(scored(), "majority")
    assert (chosen["choice"]["answer"], chosen["choice"]["votes"]) == ("5", 2)


def test_evaluate_is_step_eval(work: Workdir) -> None:
    attempts = [
        {**one, "group": group, "problem": group, "id": f"{group}{one['id']}"}
        for group in ("p", "q", "r")
        for one in scored()
    ]
    path = written(work, "in.jsonl", attempts)
    arguments = ("--k", "1,3", "--against", "single")
    wanted = command(work, "step-eval", *arguments, path)
    got = stepkit.evaluate(attempts, k=[1, 3], against=["single"])
    assert got == [{name: one[name] for name in one if name != "stepkit"} for one in wanted]


def test_leaf_traces_are_step_split_leaves(work: Workdir) -> None:
    wanted = command(work, "step-split", "--leaves", written(work, "in.jsonl", [evidence()]))
    assert len(wanted) == 7
    assert stepkit.leaf_traces([evidence()]) == wanted


# ---- numbers by hand -------------------------------------------------------------------------


def test_the_counts_of_a_tree() -> None:
    tree = drawn_tree()
    counts = stepkit.count_draws(tree)
    assert (counts["k"][:2], counts["n"][:2], counts["undecided"][:2]) == ([3, 1], [4, 2], [0, 1])
    assert stepkit.tree_leaves(tree) == [3, 4, 5, 6, 7, 8, 9]
    assert stepkit.tree_path(tree, 8) == [1, 8]
    assert stepkit.add_sampler(tree, {"id": "policy"}) == 0
    stepkit.add_sampler(tree, "other")
    with pytest.raises(stepkit.DataError, match='no sampler "third"'):
        stepkit.count_draws(tree, "third")
    with pytest.raises(ValueError, match="parent 99"):
        stepkit.add_node(tree, 99, "x")


def test_answers() -> None:
    assert stepkit.extract_answer("So x = 3.\nThe answer is 42.") == "42"
    assert stepkit.grade_answer("0.5", "1/2") is True
    assert stepkit.grade_answer("0.5", "2") is False
    assert stepkit.grade_answer("0.5", None) is None
    assert stepkit.grade_answers(["1", "2"], ["1", "1"]) == [True, False]
    assert stepkit.same_answer("1,000", "1000")
    with pytest.raises(ValueError):
        stepkit.grade_answers(["1"], [])


def test_a_text_is_cut_into_steps_that_join_to_it() -> None:
    assert stepkit.split_text("a\nb\n\nc") == ["a\n", "b\n\n", "c"]
    assert stepkit.split_text("a\nb\n\nc", "blank") == ["a\nb\n\n", "c"]


def test_votes() -> None:
    assert stepkit.vote(["5", "7", "7.0", None]) == "7"
    assert stepkit.vote(["5", "7", "7.0"], [0.9, 0.3, 0.2]) == "5"
    assert stepkit.vote(["5", "7"]) == "5", "ties go to the answer seen first"
    assert stepkit.vote([None]) is None
    assert stepkit.vote([]) is None
    with pytest.raises(ValueError, match="0 or more"):
        stepkit.vote(["5"], [-1.0])
    with pytest.raises(ValueError):
        stepkit.vote(["5"], [])


def test_curves() -> None:
    # 2 of 4 right: no right one in 1 of the 6 pairs
    assert stepkit.pass_at_k([True, False, None, True], 2) == pytest.approx(5 / 6)
    # the best score is wrong and in 3 of 6 pairs; the next is right and the best of 2 others
    assert stepkit.best_of_k([9, 8, 1, 0], [0, 1, 0, 0], 2) == pytest.approx(2 / 6)
    # of the 4 triples of 5 5 7 7, two have a majority of 7
    assert stepkit.vote_at_k(["5", "5", "7", "7"], [0, 0, 1, 1], 3) == pytest.approx(1 / 2)
    # with these weights 7 wins wherever it is in a pair
    weights = [0.1, 0.1, 0.9, 0.8]
    found = stepkit.vote_at_k(["5", "5", "7", "7"], [0, 0, 1, 1], 2, weights)
    assert found == pytest.approx(5 / 6)
    with pytest.raises(ValueError, match="5 of 4"):
        stepkit.pass_at_k([1, 0, 0, 1], 5)


def test_statistics() -> None:
    # Wilson for 0 of n is 0 to z^2 / (n + z^2)
    assert stepkit.wilson(0, 10, z=2.0) == pytest.approx((0.0, 4 / 14))
    assert stepkit.probability_better(3, 7, 3, 7) == pytest.approx(0.5)
    # one success against none, one draw each: 5/6 under uniform priors
    assert stepkit.probability_better(1, 1, 0, 1) == pytest.approx(5 / 6)


def test_aggregates() -> None:
    assert stepkit.aggregate([0.5, 0.2, 0.8]) == 0.2
    assert stepkit.aggregate([0.5, 0.2], "product") == pytest.approx(0.1)
    with pytest.raises(ValueError, match="expected one of"):
        stepkit.aggregate([0.5], "median")


def test_the_lists_name_what_the_commands_take() -> None:
    assert "soft" in stepkit.list_labels()
    assert stepkit.list_rules()["best-worst"] == "pair"
    assert "trl-dpo" in stepkit.list_trainers()
    assert "chain" in stepkit.list_methods()
