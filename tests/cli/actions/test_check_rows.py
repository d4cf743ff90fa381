"""--check: rows that a trainer reads as they are meant, and rows that it would spoil."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from work import ROOT, Workdir

from stepkit.cli.actions.check_rows import check
from stepkit.errors import UsageError
from stepkit.formats.column_types import ColumnTypes, type_of
from stepkit.formats.row_checker import RowChecker, balance
from stepkit.formats.trainer_registry import TARGETS
from stepkit.runner.settings import StreamOptions
from stepkit.schema import Json

USER = {"role": "user", "content": "2 + 2?"}
RIGHT = {"role": "assistant", "content": "It is 4."}
WRONG = {"role": "assistant", "content": "It is 5."}
HUMAN = {"from": "human", "value": "2 + 2?"}
GPT = {"from": "gpt", "value": "It is 4."}
FALSE = {"from": "gpt", "value": "It is 5."}

PAIR = {"prompt": "2 + 2?\n", "chosen": "It is 4.", "rejected": "It is 5."}
CHAT = {"prompt": [USER], "chosen": [RIGHT], "rejected": [WRONG]}
KTO = {"prompt": "2 + 2?\n", "completion": "It is 4.", "label": True}
PRM = {"prompt": "2 + 2?\n", "completions": ["It is 5.", "So 5."], "labels": [0, -100]}
SHEPHERD = {
    "input": "2 + 2? Step 1: It is 5. ки\nStep 2: So 5. ки",
    "label": "2 + 2? Step 1: It is 5. -\nStep 2: So 5. +",
}
VERDICT = {"role": "assistant", "content": "-"}
RANKED: Json = {
    "context": [USER],
    "completions": [{"rank": 0, "completion": [RIGHT]}, {"rank": 1, "completion": [WRONG]}],
}
WEIGHTED = {"messages": [USER | {"loss_scale": 0.0}, RIGHT | {"loss_scale": 0.5}]}

GOOD: list[tuple[str, Json]] = [
    ("trl-dpo", PAIR),
    ("trl-dpo", CHAT),
    ("trl-dpo", {"chosen": "2 + 2? It is 4.", "rejected": "2 + 2? It is 5."}),
    ("trl-dpo", {"chosen": [USER, RIGHT], "rejected": [USER, WRONG]}),
    ("trl-reward", PAIR),
    ("trl-kto", KTO),
    ("trl-kto", {"prompt": [USER], "completion": [WRONG], "label": False}),
    ("trl-prm", PRM),
    ("trl-prm", PRM | {"labels": [True, False]}),
    ("llamafactory", {"conversations": [HUMAN], "chosen": GPT, "rejected": FALSE}),
    ("llamafactory", {"conversations": [HUMAN, GPT], "kto_tag": True}),
    ("llamafactory", {"conversations": [{"from": "system", "value": "Add."}, HUMAN, GPT]}),
    ("llamafactory", {"instruction": "2 + 2?", "chosen": "It is 4.", "rejected": "It is 5."}),
    ("llamafactory", {"instruction": "Add.", "input": "2 + 2?", "output": "4."}),
    ("openrlhf", PAIR),
    ("openrlhf", CHAT),
    ("openrlhf", {"input": "2 + 2?", "output": "It is 4."}),
    ("axolotl", {"messages": [USER], "chosen": RIGHT, "rejected": WRONG}),
    ("axolotl", {"messages": [USER], "chosen": "It is 4.", "rejected": "It is 5."}),
    ("axolotl", PAIR),
    ("axolotl", KTO),
    ("axolotl", PRM),
    ("axolotl", {"messages": [USER, RIGHT]}),
    ("ms-swift", {"messages": [USER, RIGHT], "rejected_response": "It is 5."}),
    ("ms-swift", {"messages": [USER, RIGHT], "label": True}),
    ("ms-swift", WEIGHTED),
    ("nemo-rl", RANKED),
    ("verl", PAIR),
    ("verl", {"messages": [USER, RIGHT]}),
    ("math-shepherd", SHEPHERD),
    ("rlhflow", {"conversations": [{"role": "user", "content": "2 + 2? It is 5."}, VERDICT]}),
    ("plain", PAIR | {"scope": "step"}),
    ("plain", PAIR | {"chosen": "It is 4.</s>"}),
]

SAME = ("chosen", "the same text as rejected")
SECOND_HEADER = "ends with the assistant's turn: the trainer opens a second one"

BAD: list[tuple[str, Json, str, str]] = [
    ("trl-dpo", PAIR | {"chosen": "It is 5."}, *SAME),
    ("trl-dpo", PAIR | {"chosen": "It is 5. "}, "chosen", "but for white space"),
    ("trl-dpo", PAIR | {"chosen": "It is"}, "chosen", "only a prefix of rejected"),
    ("trl-dpo", PAIR | {"rejected": "It is"}, "rejected", "only a prefix of chosen"),
    ("trl-dpo", PAIR | {"rejected": " \n"}, "rejected", "empty"),
    ("trl-dpo", PAIR | {"scope": "step"}, "chosen", "puts an end-of-text token after it"),
    ("trl-dpo", PAIR | {"prompt": "2 + 2? "}, "prompt", "ends with the space"),
    ("trl-dpo", PAIR | {"prompt": "2?", "chosen": "\nSo."}, "chosen", "begins with the newline"),
    ("trl-dpo", PAIR | {"chosen": "It is 4.</s>"}, "chosen", 'ends with "</s>", and trl-dpo puts'),
    ("trl-dpo", PAIR | {"rejected": "It is 5.<eos>\n"}, "rejected", 'ends with "<eos>"'),
    ("trl-kto", KTO | {"completion": "4.<|im_end|>"}, "completion", 'ends with "<|im_end|>"'),
    ("trl-dpo", PAIR | {"prompt": "<s>2 + 2?\n"}, "prompt", 'starts with "<s>"'),
    ("trl-dpo", PAIR | {"chosen": "2 + 2?\nIt is 4."}, "chosen", "begins with the prompt"),
    ("trl-kto", KTO | {"completion": "2 + 2?\nIt is 4."}, "completion", "begins with the prompt"),
    ("trl-prm", PRM | {"completions": ["2 + 2?\n5.", "So 5."]}, "completions[0]", "the prompt"),
    ("trl-dpo", PAIR | {"completion": "x"}, "completion", "may take it for the text"),
    ("trl-dpo", PAIR | {"note": None}, "note", "null"),
    ("trl-dpo", PAIR | {"note": [1, "a"]}, "note", "values of one type"),
    ("trl-dpo", PAIR | {"note": {"a": [None]}}, "note", "null"),
    ("trl-dpo", PAIR | {"chosen": [RIGHT]}, "", "strings and lists of messages in one row"),
    ("trl-dpo", CHAT | {"prompt": [USER, RIGHT]}, "prompt", SECOND_HEADER),
    ("trl-dpo", CHAT | {"prompt": []}, "prompt", "expected a list of messages"),
    ("trl-dpo", CHAT | {"chosen": [USER, RIGHT]}, "chosen", 'begins with "user"'),
    ("trl-dpo", CHAT | {"chosen": [{"role": "assistant"}]}, "chosen[0].content", "a string"),
    ("trl-dpo", {"chosen": [USER, RIGHT], "rejected": [RIGHT, WRONG]}, "", "before the last"),
    ("trl-dpo", {"text": "2 + 2"}, "", "it needs prompt, chosen, rejected or chosen, rejected"),
    ("trl-reward", PAIR | {"margin": 0.5}, "margin", "part of the loss"),
    ("trl-reward", PAIR | {"chosen_ids": [1]}, "chosen_ids", "does not look at the texts"),
    ("trl-kto", KTO | {"label": 1}, "label", "expected true or false, got a number"),
    ("trl-kto", KTO | {"chosen": "x"}, "chosen", "for a pair"),
    ("trl-kto", KTO | {"prompt": [USER]}, "", "a string and a list of messages"),
    ("trl-kto", KTO | {"scope": "step"}, "completion", "end-of-text"),
    ("trl-prm", PRM | {"labels": [1]}, "", "1 labels of 2 steps"),
    ("trl-prm", PRM | {"labels": [0.7, 1.0]}, "labels[0]", "cut to a whole number"),
    ("trl-prm", PRM | {"labels": [2, 1]}, "labels[0]", "2 is no class"),
    ("trl-prm", PRM | {"labels": [-1, 1]}, "labels[0]", "-1 is no class"),
    ("trl-prm", PRM | {"labels": [-100, -100]}, "", "every step is masked"),
    ("trl-prm", PRM | {"completions": ["a\n", "b"]}, "completions[0]", "ends with a newline"),
    ("trl-prm", PRM | {"completions": ["a", ""]}, "completions[1]", "empty"),
    ("trl-prm", PRM | {"completions": []}, "completions", "something in it"),
    ("trl-prm", PRM | {"completions": [1, 2]}, "completions[0]", "expected a string"),
    ("trl-prm", PRM | {"prompt": "2 + 2?"}, "prompt", "none before the first step"),
    ("trl-prm", PRM | {"input_ids": [1]}, "input_ids", "does not look at the texts"),
    ("axolotl", PRM | {"labels": [1]}, "", "1 labels of 2 steps"),
    (
        "axolotl",
        {"messages": [USER], "chosen": "It is 4.\n", "rejected": "It is 5."},
        "chosen",
        "which many templates strip",
    ),
    (
        "axolotl",
        {"messages": [USER], "chosen": "4<|im_end|>", "rejected": "5"},
        "chosen",
        '"<|im_end|>" in a text that the trainer puts into its template',
    ),
    (
        "axolotl",
        {"messages": [USER, RIGHT], "chosen": "a", "rejected": "b"},
        "messages",
        SECOND_HEADER,
    ),
    (
        "llamafactory",
        {"conversations": [HUMAN, GPT], "chosen": GPT, "rejected": FALSE},
        "conversations",
        "must end with the human's turn, or the row is dropped",
    ),
    (
        "llamafactory",
        {"conversations": [HUMAN, HUMAN, GPT]},
        "conversations[1]",
        '"human" out of turn',
    ),
    ("llamafactory", {"conversations": [HUMAN, GPT], "kto_tag": 1}, "kto_tag", "true or false"),
    ("openrlhf", PAIR | {"margin": 1.0}, "margin", "part of the loss"),
    (
        "ms-swift",
        {"messages": [USER, RIGHT], "rejected_response": "It is 4."},
        "messages",
        "the same text as rejected_response",
    ),
    ("ms-swift", {"messages": [USER]}, "messages", "must end with an answer"),
    (
        "ms-swift",
        {"messages": [USER | {"loss_scale": 0.0}, RIGHT | {"loss_scale": -0.5}]},
        "messages[1].loss_scale",
        "0 or more",
    ),
    (
        "nemo-rl",
        RANKED | {"completions": RANKED["completions"][:1]},
        "completions",
        "exactly two",
    ),
    (
        "nemo-rl",
        RANKED | {"completions": [RANKED["completions"][0]] * 2},
        "completions",
        "one rank",
    ),
    ("math-shepherd", SHEPHERD | {"label": SHEPHERD["input"]}, "label", "+ or - for mark 1"),
    ("math-shepherd", {"input": "2 + 2?", "label": "2 + 2?"}, "input", "after a step"),
    (
        "math-shepherd",
        {"input": "a ки b", "label": "a + b"},
        "input",
        "text after the last mark",
    ),
    (
        "rlhflow",
        {"conversations": [USER, RIGHT]},
        "conversations[1]",
        "expected + or -",
    ),
    ("plain", {"prompt": "a\n", "steps": ["b"], "labels": [1.0, 0.0]}, "labels", "2 of them"),
    ("plain", {"prompt": "a\n", "completions": [1], "k": [1]}, "completions[0]", "got a number"),
    ("rlhflow", {"conversations": [VERDICT]}, "conversations[0]", "out of turn"),
]


def findings(target: str, *rows: Json, **settings: Any) -> list[tuple[str, str]]:
    checker = RowChecker(target, **settings)
    return [(f.field, f.what) for row in rows for f in checker.row(row)]


@pytest.mark.parametrize("target, row", GOOD)
def test_a_row_that_the_trainer_reads_as_it_is_meant(target: str, row: Json) -> None:
    assert findings(target, json.loads(json.dumps(row)) | {"gap": 0.5}) == []


def test_every_target_has_a_good_row() -> None:
    assert {target for target, _ in GOOD} == set(TARGETS)


@pytest.mark.parametrize("target, row, field, what", BAD)
def test_a_row_that_the_trainer_would_spoil(target: str, row: Json, field: str, what: str) -> None:
    found = findings(target, row)
    assert len(found) == 1, found
    assert found[0][0] == field and what in found[0][1], found


def test_rows_are_compared_with_the_first() -> None:
    rows = [
        PAIR | {"gap": 0.5, "tags": []},
        {"prompt": "b\n", "chosen": "c", "rejected": "d", "gap": 1, "tags": ["x"]},
        {"prompt": "e\n", "chosen": "f", "rejected": "g", "tags": [], "new": True},
    ]
    assert findings("trl-dpo", *rows) == [
        ("gap", "an integer, but a number with a point in earlier rows"),
        ("new", "the first row has no such column"),
        ("gap", "missing, but the first row has it"),
    ]


def test_the_type_of_a_list_that_was_empty_at_first_is_that_of_the_next() -> None:
    columns = ColumnTypes()
    values: list[list[Any]] = [[], ["a"], [], [1]]
    found = [[c.what for c in columns.complaints({"x": value})] for value in values]
    assert found == [[], [], [], ["a list of an integer, but a list of a string in earlier rows"]]


def test_a_null_in_the_first_row_does_not_hide_the_type_of_the_others() -> None:
    columns = ColumnTypes()
    found = [[c.what for c in columns.complaints({"x": value})] for value in (None, 1, "a")]
    assert [len(one) for one in found] == [1, 0, 1]
    assert found[2] == ["a string, but an integer in earlier rows"]


def test_objects_are_spelled_out_and_their_keys_compared() -> None:
    assert type_of({"b": 1, "a": ["x"]}) == "an object (a: a list of a string, b: an integer)"
    columns = ColumnTypes()
    list(columns.complaints({"x": {"a": 1}}))
    assert [c.field for c in columns.complaints({"x": {"a": 1, "b": 2}})] == ["x"]


def test_duplicates_and_pairs_the_other_way_round() -> None:
    back = {"prompt": PAIR["prompt"], "chosen": PAIR["rejected"], "rejected": PAIR["chosen"]}
    assert findings("trl-dpo", PAIR, PAIR, back) == [
        ("", "the same texts as an earlier row"),
        ("", "the two sides of an earlier row, the other way round"),
    ]


def test_one_text_with_other_weights_is_no_duplicate_but_with_other_labels_it_is() -> None:
    other = {"messages": [USER | {"loss_scale": 0.0}, RIGHT | {"loss_scale": 0.25}]}
    assert findings("ms-swift", WEIGHTED, other) == []
    assert len(findings("ms-swift", WEIGHTED, other, WEIGHTED)) == 1
    assert len(findings("trl-prm", PRM, PRM | {"labels": [1, -100]})) == 1


def test_kto_rows_of_one_prompt_must_not_be_neighbours() -> None:
    other = {"prompt": "3?\n", "completion": "3.", "label": False}
    twin = KTO | {"completion": "It is four."}
    assert findings("trl-kto", KTO, other, twin) == []
    ((field, what),) = findings("trl-kto", KTO, twin, other)
    assert field == "" and "KL term" in what
    assert findings("plain", KTO, twin, other) == []


@pytest.mark.parametrize(
    "desirable, undesirable, part",
    [
        (10, 10, ""),
        (13, 10, ""),
        (14, 10, "desirable_weight to 0.714 .. 0.95"),
        (5, 10, "desirable_weight to 2 .. 2.66"),
        (5, 0, "all labels are one"),
        (0, 5, "all labels are one"),
    ],
)
def test_kto_weights(desirable: int, undesirable: int, part: str) -> None:
    found = [finding.what for finding in balance(desirable, undesirable)]
    assert len(found) == bool(part) and part in "".join(found)


def test_balance_is_told_at_the_end_and_only_for_labels() -> None:
    checker = RowChecker("trl-kto")
    assert list(checker.row(KTO)) == []
    assert [finding.what for finding in checker.end()] == [
        "all labels are one: KTO needs rows of both"
    ]
    assert list(RowChecker("trl-dpo").end()) == []


LONG = PAIR | {"chosen": "So it is 4.", "rejected": "So it is 5."}


@pytest.mark.parametrize(
    "target, row, most, part",
    [
        ("trl-dpo", LONG, 17, ""),  # 7 of the prompt, 9 alike: they part at 16
        ("trl-dpo", LONG, 16, "the sides part at 16"),
        ("trl-dpo", LONG, 7, "the prompt alone is 7 long"),
        ("trl-kto", KTO, 7, "the prompt alone"),
        ("trl-kto", KTO, 8, ""),
        ("trl-prm", PRM, 21, ""),
        ("trl-prm", PRM, 20, "completions[1]"),  # 7 + 8 + 5
        ("trl-prm", PRM, 15, "completions[0]"),
    ],
)
def test_what_a_trainer_cuts_off(target: str, row: Json, most: int, part: str) -> None:
    found = findings(target, row, max_length=most)
    assert len(found) == bool(part)
    assert part in "".join("".join(one) for one in found)


def words(text: str) -> list[int]:
    """A tokenizer for tests: a token a word, each with the space before it."""
    import re

    return [hash(word) for word in re.findall(r" ?\w+|\W", text)]


def test_lengths_and_boundaries_in_tokens() -> None:
    row = {"prompt": "a b", "chosen": " c d", "rejected": " c e"}
    assert findings("trl-dpo", row, tokens=words, max_length=4) == []
    assert "part at 3" in findings("trl-dpo", row, tokens=words, max_length=3)[0][1]
    merged = {"prompt": "a b", "chosen": "c", "rejected": " d"}
    ((field, what),) = findings("trl-dpo", merged, tokens=words)
    assert field == "chosen" and "one token" in what


def checked(work: Workdir, target: str, **more: Any) -> tuple[list[str], int]:
    """The lines that a check of the directory's rows writes, and how many rows had a finding."""
    files = [str(work.path / name) for name in work.names() if name.endswith(".jsonl")]
    streams = StreamOptions("step-pairs", tuple(files), str(work.path / "out"), **more)
    check(streams, target)
    lines = work.read("out").decode().splitlines()
    return [line.replace(f"{work.path}/", "") for line in lines], streams.tally.rejected


def test_a_line_for_each_finding_with_file_and_line(work: Workdir) -> None:
    bad = PAIR | {"chosen": "It is 5.", "a\nb": 1}
    rows = [PAIR, PAIR | {"prompt": "3?\n", "rejected": ""}]
    work.write("1.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    work.write("2.jsonl", f"{json.dumps(bad)}\n\n{{oops\n{json.dumps(PAIR)}\n")
    lines, rejected = checked(work, "trl-dpo")
    assert lines[:3] == [
        '1.jsonl:2: field "rejected": empty',
        '2.jsonl:1: field "a\\nb": the first row has no such column',
        '2.jsonl:1: field "chosen": the same text as rejected',
    ]
    assert lines[3].startswith("2.jsonl:3:2: not JSON: ")
    assert lines[4:] == ["2.jsonl:4: the same texts as an earlier row"]
    assert rejected == 4


def test_clean_rows_give_no_line_and_the_balance_comes_last(work: Workdir) -> None:
    work.write("a.jsonl", json.dumps(PAIR) + "\n")
    assert checked(work, "trl-dpo") == ([], 0)
    work.write("a.jsonl", json.dumps(KTO) + "\n")
    assert checked(work, "trl-kto") == (["a.jsonl: all labels are one: KTO needs rows of both"], 1)


def test_bad_lines_are_findings_and_need_no_option(work: Workdir) -> None:
    work.write("a.jsonl", "{}\n")
    with pytest.raises(UsageError, match="--on-error and --rejects have no effect"):
        checked(work, "trl-dpo", on_error="skip")


def test_a_check_of_many_rows_holds_a_digest_of_each() -> None:
    """Bounded memory: what is kept of a row does not grow with its texts."""
    import tracemalloc

    checker = RowChecker("trl-dpo")
    tracemalloc.start()
    for number in range(2_000):
        row = PAIR | {"prompt": f"{number}\n" + "x" * 10_000}
        assert not list(checker.row(row))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2_000 * 400


def test_the_command_checks_and_exits_by_what_it_found(work: Workdir) -> None:
    work.write("good.jsonl", json.dumps(PAIR) + "\n")
    work.write("bad.jsonl", json.dumps(PAIR | {"margin": 0.5}) + "\n")
    done = work.run("step-pairs", "--check", "trl-reward", "good.jsonl")
    assert (done.status, done.out, done.err) == (0, b"", "")
    done = work.run("step-pairs", "--check", "trl-reward", "bad.jsonl", "good.jsonl")
    assert (done.status, done.err) == (1, "")
    assert done.lines == [
        b'bad.jsonl:1: field "margin": trl-reward makes it part of the loss: rename the column',
        b'good.jsonl:1: field "margin": missing, but the first row has it',
        b"good.jsonl:1: the same texts as an earlier row",
    ]
    done = work.run("step-pairs", "--check", "trl-dpo", "--max-length", "7", "good.jsonl")
    assert (done.status, done.lines) == (
        1,
        [b"good.jsonl:1: the prompt alone is 7 long: the row is dropped or cut to nothing"],
    )


def test_lengths_in_the_tokens_of_a_model(work: Workdir) -> None:
    model = str(ROOT / "samples" / "models" / "policy.gguf")
    row = {"prompt": "11 + 7 = ?\n", "chosen": "11 + 7 = 18.", "rejected": "11 + 7 = 19."}
    work.write("a.jsonl", json.dumps(row) + "\n")
    most = len(json.dumps(row))
    arguments = ("--check", "trl-dpo", "--tokenizer", model, "a.jsonl", "--max-length")
    assert work.run("step-pairs", *arguments, str(most)).out == b""
    done = work.run("step-pairs", *arguments, "2")
    assert done.status == 1 and b"the prompt alone is" in done.out


@pytest.mark.parametrize("option", [["--rule", "kto"], ["--min-gap", "0.5"], ["--scope", "full"]])
def test_options_without_effect_on_a_check_are_refused(work: Workdir, option: list[str]) -> None:
    work.write("a.jsonl", json.dumps(PAIR) + "\n")
    done = work.run("step-pairs", "--check", "trl-dpo", *option, "a.jsonl")
    assert done.status == 2 and "no effect with --check" in done.err


KEYS = sorted(
    {column for target in TARGETS.values() for s in target.shapes for column in s.columns}
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "rank", "completion"]), inner
        )
    ),
    max_leaves=6,
)


@given(
    st.lists(st.dictionaries(st.sampled_from([*KEYS, "kto_tag", "scope", "x"]), JSON), max_size=3)
)
def test_a_check_takes_whatever_is_json(rows: list[Json]) -> None:
    for target in TARGETS:
        checker = RowChecker(target, max_length=5)
        for row in rows:
            list(checker.row(row))
        list(checker.end())


@pytest.mark.parametrize("target, row", GOOD)
@examples(20)
@given(st.data())
def test_a_good_row_with_one_value_replaced_is_still_only_checked(
    target: str, row: Json, data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(sorted(row)))
    list(RowChecker(target).row({**row, key: data.draw(JSON)}))
