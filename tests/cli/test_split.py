"""step-split as people run it; what all commands have in common is tested elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from work import Workdir

from stepkit.cli.actions.leaf_traces import leaf_records
from stepkit.core import tree as trees
from stepkit.io import splice
from stepkit.io.jsonl import Record

TEXT = "2 + 3 = 5.\n\nSo 5 + 1 = 6.\nAnswer: 6"
LINES = ["2 + 3 = 5.\n\n", "So 5 + 1 = 6.\n", "Answer: 6"]
TRACE = {"id": "a", "group": "g", "problem": "p", "answer": "6", "response": TEXT}


def lines(*records: dict[str, Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def split(work: Workdir, *args: str, input: str) -> list[dict[str, Any]]:
    done = work.run("step-split", *args, input=input)
    assert (done.status, done.err) == (0, "")
    return [json.loads(line) for line in done.lines]


def refused(work: Workdir, *args: str, input: str, status: int = 3) -> str:
    done = work.run("step-split", *args, input=input)
    assert (done.status, done.out, done.err.count("\n")) == (status, b"", 1)
    return done.err.removeprefix("step-split: ").rstrip("\n")


def test_a_trace_gets_its_steps_and_keeps_every_other_byte(work: Workdir) -> None:
    line = '{"x": 1.10, "n":18446744073709551617, "problem":"p","response":"a\\nb \\u00e9"}'
    done = work.run("step-split", input=line + "\n")
    assert done.out.decode().startswith(line[:-1])
    record = json.loads(done.out)
    assert record["steps"] == ["a\n", "b \u00e9"]
    assert record["split"] == {"by": "block"}
    assert record["stepkit"] == 1
    assert len(record["id"]) == len(record["group"]) == 16


@pytest.mark.parametrize(
    ("options", "steps", "rule"),
    [
        ("--by lines", LINES, {"by": "lines"}),
        ("--by blank", [LINES[0], LINES[1] + LINES[2]], {"by": "blank"}),
        ("--by marker", [TEXT], {"by": "marker"}),
        ("--by sentence --min-chars 3", LINES, {"by": "sentence", "min_chars": 3}),
        ("--max-steps 1", [TEXT], {"by": "block", "max_steps": 1}),
        (
            "--by regex --pattern ^So --start",
            [LINES[0], LINES[1] + LINES[2]],
            {"by": "regex", "pattern": "^So", "start": True},
        ),
        (
            "--by regex --pattern [.]\\s+",
            LINES,
            {"by": "regex", "pattern": "[.]\\s+"},
        ),
    ],
)
def test_rules(work: Workdir, options: str, steps: list[str], rule: dict[str, Any]) -> None:
    done = work.run("step-split", *options.split(), input=lines(TRACE))
    record = json.loads(done.out)
    assert record["steps"] == steps
    assert record["split"] == rule


@pytest.mark.parametrize("options", ["", "--grade", "--by sentence --min-chars 5"])
def test_a_second_time_changes_no_byte(work: Workdir, options: str) -> None:
    records: list[dict[str, Any]] = [
        TRACE,
        {"problem": "p", "completion": "It is \\boxed{6}.", "answer": 6},
        {"problem": "p", "answer": "6"},
        {"problem": "p", "answer": "6"},
        {"problem": "p", "answer": "6", "response": ""},
    ]
    once = work.run("step-split", *options.split(), input=lines(*records))
    twice = work.run("step-split", *options.split(), input=once.out)
    assert once.out == twice.out
    assert len(once.lines) == len(records)


def test_a_bare_problem_passes_with_the_rule(work: Workdir) -> None:
    done = work.run("step-split", input=lines({"id": "a", "group": "g", "problem": "p"}))
    assert done.status == 0
    assert json.loads(done.out) == {
        "id": "a", "group": "g", "problem": "p", "split": {"by": "block"}, "stepkit": 1,
    }  # fmt: skip
    assert done.err == (
        "step-split: no record has a text to cut (response, completion, output, generation, "
        "steps); --field names it\n"
    )


def test_an_empty_response_has_no_steps(work: Workdir) -> None:
    (record,) = split(work, input=lines({**TRACE, "response": ""}))
    assert record["steps"] == []


def test_equal_traces_get_unequal_ids_in_one_group(work: Workdir) -> None:
    records = split(work, input=lines(*[{"problem": "p", "response": "r"}] * 3))
    first = records[0]["id"]
    assert [record["id"] for record in records] == [first, f"{first}/2", f"{first}/3"]
    assert len({record["group"] for record in records}) == 1


@pytest.mark.parametrize("key", ["completion", "output", "generation"])
def test_the_text_may_be_in_another_field(work: Workdir, key: str) -> None:
    (record,) = split(work, input=lines({"problem": "p", key: TEXT}))
    assert record["response"] == record[key] == TEXT
    assert record["steps"] == LINES


def test_field_names_the_text(work: Workdir) -> None:
    (record,) = split(work, "--field", "solution", input=lines({"problem": "p", "solution": TEXT}))
    assert record["steps"] == LINES
    message = refused(work, "--field", "solution", input=lines({**TRACE, "solution": "x"}))
    assert message == (
        '<stdin>:1: field "response": another text than "solution" is there; rename one'
    )
    assert "no field" in refused(work, "--field", "text", input=lines({"id": "a", "body": "x"}))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({**TRACE, "response": ["x"]}, 'field "response": expected a string, got a list'),
        ({"response": "x"}, 'no field "problem"; fields are response'),
        ({**TRACE, "id": ["a"]}, 'field "id": expected a string, got a list'),
        ({**TRACE, "group": 1}, 'field "group": expected a string, got a number'),
        ({"id": "a", "problem": "p", "steps": "x"}, 'field "steps": expected a list, got a string'),
        ({"problem": "p", "steps": ["x", 1]}, 'field "steps[1]": expected a string, got a number'),
        ({**TRACE, "stepkit": 99}, "newer"),
    ],
)
def test_bad_records_are_named(work: Workdir, record: dict[str, Any], message: str) -> None:
    assert message in refused(work, input=lines(record))


ALONE = {"problem": "p", "answer": "6", "steps": ["2 + 3 = 5.\n\nSo", "So:\n", "", "Answer: 6"]}
KEPT = ["2 + 3 = 5.\n\nSo\n\n", "So:\n", "\n\n", "Answer: 6"]


def test_steps_without_a_response_are_joined_and_kept(work: Workdir) -> None:
    labelled = {**ALONE, "labels": {"gold": {"first": 1}}}
    (made,) = split(work, input=lines(labelled))
    assert made["steps"] == KEPT and made["response"] == "".join(KEPT)
    assert (made["split"], made["labels"]) == ({"by": "blank"}, labelled["labels"])
    (graded,) = split(work, "--grade", input=lines(ALONE))
    assert (graded["steps"], graded["final"], graded["correct"]) == (KEPT, "6", True)
    (ruled,) = split(work, "--by", "sentence", input=lines(ALONE))
    assert (ruled["steps"], ruled["split"]) == (KEPT, {"by": "sentence"})


def test_names_of_problem_and_steps(work: Workdir) -> None:
    record = {"question": "p", "thoughts": ALONE["steps"], "steps": None}
    args = ("--problem", "question", "--field", "thoughts")
    (made,) = split(work, *args, input=lines(record))
    assert (made["problem"], made["steps"]) == ("p", KEPT)
    scored = lines({**made, "scores": {"prm": {"x": [1, 1, 1, 1]}}})
    assert split(work, *args, input=scored) == [json.loads(scored)]
    message = refused(work, *args, input=lines({**record, "problem": "q"}))
    assert 'field "problem": another text than "question" is there; rename one' in message
    assert 'no field "question"' in refused(work, *args, input=lines({"thoughts": ["x"]}))
    moved = lines({**made, "thoughts": ["other"], "response": None, "labels": {"a": {}}})
    assert "--force drops it" in refused(work, *args, input=moved)
    thought = lines({**record, "mind": "hm"})
    assert "no thinking can come before" in refused(
        work, *args, "--thinking", "mind", input=thought
    )


@pytest.mark.parametrize("key", ["tree", "labels", "scores", "role"])
def test_what_carries_evidence_is_cut_again_only_by_force(work: Workdir, key: str) -> None:
    (cut,) = split(work, input=lines(TRACE))
    carrying = lines({**cut, key: {"some": [1]}})
    assert work.run("step-split", input=carrying).out.decode() == carrying
    assert f'field "{key}": ' in refused(work, "--by", "blank", input=carrying)
    done = work.run("step-split", "--by", "blank", "--force", input=carrying)
    assert done.status == 0
    assert done.err == f"step-split: dropped evidence for steps that changed: 1 {key}\n"
    record = json.loads(done.out)
    assert key not in record
    assert record["split"] == {"by": "blank"}


@pytest.mark.parametrize(
    ("changes", "final", "correct"),
    [
        ({}, "6", True),
        ({"answer": 6}, "6", True),
        ({"answer": "2 + 4 = 6\n#### 6.0"}, "6", True),
        ({"answer": "7"}, "6", False),
        ({"response": "It is $x+1$. The answer is $1+x$.", "answer": "x+1"}, "1+x", True),
        ({"response": "No idea."}, None, None),
        ({"answer": r"\foo"}, "6", None),
        ({"sample": {"finish": "length"}}, None, None),
        ({"sample": {"finish": "stop"}}, "6", True),
        ({"answer": None, "solution": "5 + 1 = 6\nAnswer: 6"}, "6", True),
    ],
)
def test_grade(
    work: Workdir, changes: dict[str, Any], final: str | None, correct: bool | None
) -> None:
    done = work.run("step-split", "--grade", "-j", "2", input=lines({**TRACE, **changes}))
    assert done.status == 0
    record = json.loads(done.out)
    assert (record["final"], record["correct"]) == (final, correct)


def test_grade_says_what_it_could_not_decide(work: Workdir) -> None:
    done = work.run("step-split", "--grade", input=lines({**TRACE, "answer": r"\foo"}))
    assert done.err == "step-split: 1 answer undecided: a formula that cannot be read (1)\n"
    assert work.run("step-split", "--grade", "-q", input=lines(TRACE)).err == ""


def test_how_many_responses_have_no_answer_is_said_with_the_first_three(work: Workdir) -> None:
    records = [{**TRACE, "id": f"t{number}", "response": "No idea."} for number in range(4)]
    done = work.run("step-split", "--grade", input=lines(*records, TRACE))
    assert done.err == "step-split: 4 of 5 responses have no answer: t0, t1, t2, ...\n"


def test_verbose_says_why_a_verdict_fell_as_it_did(work: Workdir) -> None:
    done = work.run("step-split", "--grade", "-v", input=lines({**TRACE, "id": "t", "answer": "7"}))
    assert "step-split: t: wrong: '6' (label) for '7': different\n" in done.err


@pytest.mark.parametrize(
    ("options", "response", "final"),
    [
        (("--answer", "last-number"), "It is $1,234. Done", "1234"),
        (("--answer-pattern", "RESULT: (.*)"), "RESULT: 1\nRESULT: 2\nAnswer: 3", "2"),
        (("--answer-pattern", r"\d+"), "<think>7</think>no number", None),
    ],
)
def test_answers_are_read_in_other_ways(
    work: Workdir, options: tuple[str, ...], response: str, final: str | None
) -> None:
    record = {key: value for key, value in TRACE.items() if key != "answer"}
    asked = lines({**record, "response": response, "gold": 2})
    done = work.run("step-split", "--grade", "--answer-field", "gold", *options, input=asked)
    graded = json.loads(done.out)
    assert (graded["final"], graded["answer"]) == (final, 2)
    assert graded["correct"] is (None if final is None else final == "2")


def test_a_wrong_pattern_and_an_answer_twice_are_refused(work: Workdir) -> None:
    message = refused(work, "--grade", "--answer-pattern", "(", input=lines(TRACE), status=2)
    assert message.startswith("--answer-pattern: no regular expression")
    other = lines({**TRACE, "gold": "5"})
    assert "another answer" in refused(work, "--grade", "--answer-field", "gold", input=other)


def test_grade_needs_a_reference(work: Workdir) -> None:
    record = {key: value for key, value in TRACE.items() if key != "answer"}
    assert 'no field "answer"' in refused(work, "--grade", input=lines(record))
    record["solution"] = "see above"
    assert 'field "solution": no final answer' in refused(work, "--grade", input=lines(record))


def test_a_verdict_under_evidence_is_changed_only_by_force(work: Workdir) -> None:
    (graded,) = split(work, "--grade", input=lines(TRACE))
    carrying = {**graded, "tree": {"some": [1]}}
    assert work.run("step-split", "--grade", input=lines(carrying)).status == 0
    carrying["answer"] = "7"
    assert 'field "tree": ' in refused(work, "--grade", input=lines(carrying))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("-j 2", "-j has no effect without --grade"),
        ("--by confidence", "--by confidence needs one of --below, --top and --quantile"),
        ("--by confidence --top 2 --quantile 0.1", "--by confidence needs one of --below, --top"),
        ("--by confidence --quantile 0.1", "--quantile reads its input twice: name files instead"),
        ("--by tokens", "--by tokens needs --size"),
        ("--below 0.5", "--below has no effect with --by block; it is for --by confidence"),
        ("--quantile 0.5", "--quantile has no effect with --by block; it is for --by confidence"),
        ("--score x", "--score has no effect with --by block; it is for --by confidence|tokens"),
        ("--leaves --grade", "--grade has no effect with --leaves"),
        ("--leaves -j 2", "--jobs has no effect with --leaves"),
        ("--pattern x", "--pattern has no effect with --by block; it is for --by regex"),
        ("--by blank --start", "--start has no effect with --by blank; it is for --by regex"),
        ("--by regex", "--by regex needs --pattern"),
        ("--by regex --pattern (", "--pattern: no regular expression: missing )"),
        ("--min-chars 0", "invalid value for '--min-chars'"),
    ],
)
def test_options_without_effect_are_refused(work: Workdir, options: str, message: str) -> None:
    assert refused(work, *options.split(), input=lines(TRACE), status=2).startswith(message)


def test_a_bad_record_does_not_stop_the_others(work: Workdir) -> None:
    bad = {**TRACE, "response": 1}
    done = work.run("step-split", "--grade", "--on-error", "skip", input=lines(TRACE, bad, TRACE))
    assert done.status == 1
    assert [json.loads(line)["correct"] for line in done.lines] == [True, True]


SIZES = [1, 2, 2, 2, 3, 2, 4]
LOGPROBS = [-0.1, -0.2, -3.0, -0.1, -0.1, -1.5, -0.3]
DRAWN = {
    **{"id": "a", "group": "g", "problem": "p", "response": "2 + 3 = 5.\n\nSo 5"},
    "sample": {"token_bytes": SIZES, "token_logprob": LOGPROBS},
}


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ("--below 0.1", ["2 +", " 3 = 5.\n\nSo 5"]),
        ("--below 0.25", ["2 +", " 3 = 5.", "\n\nSo 5"]),
        ("--top 2", ["2 +", " 3 = 5.", "\n\nSo 5"]),
        ("--top 2 --min-chars 4", ["2 + 3 = 5.", "\n\nSo 5"]),
    ],
)
def test_cuts_before_tokens_of_low_probability(
    work: Workdir, options: str, steps: list[str]
) -> None:
    (record,) = split(work, "--by", "confidence", *options.split(), input=lines(DRAWN))
    assert record["steps"] == steps
    assert record["split"]["by"] == "confidence"


def test_so_many_tokens_a_step_from_a_score(work: Workdir) -> None:
    scores = {"policy": {"x": [0.5], "token_bytes": SIZES, "token_logprob": [None] * len(SIZES)}}
    record = {**DRAWN, "sample": {}, "scores": scores}
    done = split(work, "--by", "tokens", "--size", "4", "--score", "policy", "--force", "-q",
                 input=lines(record))  # fmt: skip
    assert done[0]["steps"] == ["2 + 3 =", " 5.\n\nSo 5"]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({}, 'field "sample.token_bytes": no tokens in it: draw with --keep-tokens'),
        ({"token_bytes": SIZES}, 'field "sample.token_logprob": expected a list, got null'),
        ({"token_bytes": [16], "token_logprob": [0.5]}, '[0]": expected a log-probability'),
        ({"token_bytes": [15], "token_logprob": [0]}, "15 bytes, but the response has 16"),
        ({"token_bytes": [16], "token_logprob": []}, "0 entries, but token_bytes has 1"),
        ({"token_bytes": [-1, 17], "token_logprob": [0, 0]}, "expected numbers of bytes"),
    ],
)
def test_bad_tokens_are_named(work: Workdir, sample: dict[str, Any], message: str) -> None:
    error = refused(
        work, "--by", "confidence", "--top", "1", input=lines({**DRAWN, "sample": sample})
    )
    assert message in error


def test_the_quantile_is_of_all_tokens_of_all_files(work: Workdir) -> None:
    """AdaptiveStep: one threshold for the data set; 3 of the 14 tokens are the lowest fifth."""
    logprobs = [-0.1, -0.1, -0.1, -1.6, -0.1, -0.1, -0.1]
    sure = {**DRAWN, "id": "b", "sample": {"token_bytes": SIZES, "token_logprob": logprobs}}
    work.write("1.jsonl", lines(DRAWN))
    work.write("2.jsonl", "no record\n" + lines(sure, {"id": "c", "problem": "p"}))
    done = work.run(
        *("step-split", "--by", "confidence", "--quantile", "0.22", "--on-error", "skip", "-v"),
        *("1.jsonl", "2.jsonl"),
    )
    assert done.status == 1
    first, second, bare = (json.loads(line) for line in done.lines)
    assert first["steps"] == ["2 +", " 3 = 5.", "\n\nSo 5"]
    assert second["steps"] == ["2 + 3", " = 5.\n\nSo 5"]
    assert first["split"] == second["split"] == bare["split"]
    assert first["split"]["quantile"] == 0.22
    assert "14 tokens; steps begin at those less probable than 0.4066" in done.err


def test_thinking_in_a_field_of_its_own(work: Workdir) -> None:
    record = {"id": "a", "group": "g", "problem": "p", "answer": "5", "completion": "Answer: 5"}
    record["reasoning"] = "2 + 3 is 5.\nYes."
    options = ("--thinking", "reasoning", "--grade")
    once = work.run("step-split", *options, input=lines(record))
    (cut,) = map(json.loads, once.lines)
    assert cut["response"] == "<think>\n2 + 3 is 5.\nYes.\n</think>\n\nAnswer: 5"
    assert cut["steps"] == ["<think>\n2 + 3 is 5.\n", "Yes.\n</think>\n\n", "Answer: 5"]
    assert (cut["correct"], cut["completion"]) == (True, "Answer: 5")
    assert work.run("step-split", *options, input=once.out).out == once.out
    (bare,) = split(work, *options[:2], input=lines(TRACE))
    assert bare["steps"] == LINES


def searched() -> dict[str, Any]:
    """Two attempts that share a step, one of them given, a failed draw, and views of a draw."""
    tree = trees.from_steps(["a\n", "Answer: 6"])
    tree["finish"][2], tree["outcome"][2], tree["final"][2] = "stop", 1.0, "6"
    by = trees.sampler_index(tree, {"id": "s"})
    drawn: dict[str, Any] = {"by": by, "tokens": 3, "logprob": -1.5}
    rest = trees.add(
        tree, 1, "b\nAnswer: 7", whole=True, finish="stop", outcome=0.0, final="7", draw=0, **drawn
    )
    view = trees.add(tree, 1, "b\n", whole=False, finish="", cut=rest, draw=0, by=by)
    trees.add(
        tree, view, "Answer: 7", whole=False, finish="stop", outcome=0.0, cut=rest, draw=0, by=by
    )
    trees.add(tree, 1, "x", whole=True, finish="error", draw=1, by=by)
    trees.add(tree, 0, "c", whole=True, finish="length", draw=0, **drawn)
    return {**TRACE, "response": "a\nAnswer: 6", "steps": ["a\n", "Answer: 6"],
            "split": {"by": "lines"}, "tree": tree, "labels": {}, "mine": 1.10}  # fmt: skip


def test_leaves_are_traces(work: Workdir) -> None:
    own, right, cut_off = split(work, "--leaves", input=lines(searched()))
    assert [trace["steps"] for trace in (own, right, cut_off)] == [
        ["a\n", "Answer: 6"], ["a\n", "b\n", "Answer: 7"], ["c"],
    ]  # fmt: skip
    assert [trace["correct"] for trace in (own, right, cut_off)] == [True, False, None]
    assert [trace["id"] for trace in (own, right, cut_off)] == ["a/2", "a/3", "a/7"]
    assert {trace["group"] for trace in (own, right, cut_off)} == {"g"}
    assert right["sample"] == {"finish": "stop", "sampler": {"id": "s"}, "draw": 0}
    assert cut_off["sample"] == {
        "finish": "length", "sampler": {"id": "s"}, "draw": 0, "tokens": 3, "logprob": -1.5,
    }  # fmt: skip
    assert right["origin"] == {"id": "a", "node": 3}
    assert "tree" not in own and "labels" not in own and own["mine"] == 1.10
    again = split(work, "--leaves", "--by", "blank", input=lines(searched()))
    assert again[1]["steps"] == ["a\n", "b\nAnswer: 7"]
    short = split(work, "--leaves", "--min-chars", "3", input=lines(searched()))
    assert short[1]["steps"] == ["a\n", "b\nAnswer: 7"]
    assert 'no "tree": run step-rollout first' in refused(work, "--leaves", input=lines(TRACE))


def test_the_line_of_a_tree_is_not_read_again_for_each_of_its_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tree of 5,000 nodes took a minute and a half, and four times as long for twice as many."""
    read: list[int] = []
    plain = splice.entries

    def counted(line: bytes, key: str) -> list[tuple[int, int, int]]:
        read.append(len(line))
        return plain(line, key)

    monkeypatch.setattr(splice, "entries", counted)
    tree = trees.from_steps([])
    by = trees.sampler_index(tree, {"id": "s"})
    for draw in range(300):
        trees.add(tree, 0, f"{draw}", whole=True, finish="stop", by=by, draw=draw)
    record = Record.new({"id": "t", "problem": "p", "tree": tree})
    found = leaf_records(record, {"by": "lines"})
    assert [one.data["response"] for one in found] == [f"{draw}" for draw in range(300)]
    assert all("tree" not in one.data for one in found)
    assert sum(read) < 3 * len(record.raw)


def test_leaves_of_a_tree_with_lengths_but_no_log_probabilities(work: Workdir) -> None:
    record = searched()
    del record["tree"]["logprob"]
    _, _, cut_off = split(work, "--leaves", input=lines(record))
    assert cut_off["sample"] == {"finish": "length", "sampler": {"id": "s"}, "draw": 0}


def test_responses_without_a_marker_are_counted(work: Workdir) -> None:
    records: list[dict[str, Any]] = [
        {"problem": "p", "response": "Step 1\nAdd.\nStep 2\nHalve."},
        {"problem": "p", "response": "We add.\nWe halve."},
        {"problem": "p", "steps": ["given", "steps"]},
        {"problem": "no attempt"},
    ]
    done = work.run("step-split", "--by", "marker", input=lines(*records))
    assert [len(json.loads(line).get("steps", [])) for line in done.lines] == [2, 1, 2, 0]
    assert done.err == (
        'step-split: 1 of 2 responses have no marker such as "Step 1:" and stay one step\n'
    )
    quiet = work.run("step-split", "--by", "marker", "-q", input=lines(*records))
    assert (quiet.out, quiet.err) == (done.out, "")


def test_blank_lines_inside_a_display_cut_nothing(work: Workdir) -> None:
    record = {"problem": "p", "response": "Now\n\n$$\na = 1\n\n$$\n\nThat is it."}
    (cut,) = split(work, "--by", "blank", input=lines(record))
    assert cut["steps"] == ["Now\n\n", "$$\na = 1\n\n$$\n\n", "That is it."]


GOLD = {"of": "validity", "by": "human", "x": [1, 0]}
VALUE = {"of": "value", "by": "sampler", "x": [0.5, 1.0]}


def labelled(**more: Any) -> dict[str, Any]:
    steps = ["2 + 3 = 5.\n", "The answer is 5"]
    record = {"id": "a", "group": "g", "problem": "p", "answer": "5", "steps": steps}
    return record | {"response": "".join(steps), "split": {"by": "block"}} | more


def test_labels_stay_when_a_verdict_is_added(work: Workdir) -> None:
    columns = {"labels": {"gold": GOLD, "mc": VALUE}, "scores": {"prm": {**GOLD, "by": "scorer"}}}
    (record,) = split(work, "--grade", input=lines(labelled(**columns)))
    assert record["correct"] is True
    assert {name: record[name] for name in columns} == columns


def test_only_labels_that_came_from_another_verdict_go(work: Workdir) -> None:
    given = labelled(correct=False, final="6", labels={"gold": GOLD, "mc": VALUE})
    only = labelled(correct=False, final="6", labels={"mc": VALUE})
    done = work.run("step-split", "--grade", input=lines(given, only))
    first, second = map(json.loads, done.lines)
    assert (first["correct"], first["labels"]) == (True, {"gold": GOLD})
    assert second["correct"] is True and "labels" not in second
    assert done.err == "step-split: dropped what came from another verdict: 2 labels.mc\n"


def test_a_tree_with_another_verdict_is_for_regrade(work: Workdir) -> None:
    given = lines(labelled(correct=False, final="6", tree={"parent": [-1]}))
    assert "step-rollout --regrade" in refused(work, "--grade", input=given)
    done = work.run("step-split", "--grade", "--force", input=given)
    assert json.loads(done.out)["correct"] is True and "tree" not in json.loads(done.out)


@pytest.mark.parametrize("name", ["labels", "scores"])
def test_a_list_where_columns_belong_is_refused_with_the_way_out(work: Workdir, name: str) -> None:
    record = {"prompt": "Q?", "completions": ["a", "b"], name: [True, False]}
    message = refused(work, "--field", "completions", input=lines(record))
    assert message == (
        f'<stdin>:1: field "{name}": expected an object of named columns, got a list; rename it, '
        f"as in jq '.step_{name} = .{name} | del(.{name})'"
    )


def test_messages_name_the_fields_that_are_there(work: Workdir) -> None:
    message = refused(work, input=lines({"task": "2 + 3?", "response": "5"}))
    assert message == '<stdin>:1: no field "problem"; fields are response, task; --problem names it'


def test_a_question_is_a_problem(work: Workdir) -> None:
    asked, put = {"question": "2 + 3?", "response": "5"}, {"problem": "2 + 3?", "response": "5"}
    first, second = split(work, input=lines(asked, put))
    assert (first["group"], first["id"]) == (second["group"], second["id"].removesuffix("/2"))


def test_a_completion_of_one_message_is_the_response(work: Workdir) -> None:
    prompt = [{"role": "user", "content": "2 + 3?"}]
    answer = {"role": "assistant", "content": "2 + 3 = 5\nSo 5"}
    (record,) = split(work, input=lines({"prompt": prompt, "completion": [answer]}))
    assert record["steps"] == ["2 + 3 = 5\n", "So 5"]
    two = lines({"prompt": prompt, "completion": [answer, *prompt]})
    assert "expected one message of the assistant" in refused(work, input=two)
