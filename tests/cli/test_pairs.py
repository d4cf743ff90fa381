"""step-pairs as it is run: every kind of row, what it refuses, and what pipelines got wrong."""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise
from zlib import crc32

import pytest
from evidence import broken
from pairing import Draw, step, trace
from work import ROOT, Workdir

from stepkit.core.pairs.pair_registry import RULES
from stepkit.formats.row_layout import BoundaryError, cut_between_tokens
from stepkit.schema import Json

POLICY = ROOT / "samples" / "models" / "policy.gguf"

DRAWS: dict[int, list[Draw]] = {
    0: [("a2\nx", 1.0), ("a3\ny", 0.0)],
    1: [("b2\nz", 1.0), ("b3\nw", 0.0)],
    2: [("c2", 0.0)],
}
LABELS = {
    "hard": {"x": [1.0, 0.0, 0.0], "first": 1},
    "value": {"x": [0.5, 0.0, 0.0], "k": [1, 0, 0], "n": [2, 1, 1]},
    "progress": {"x": [0.25, -0.5, 0.0]},
}
KINDS = {
    "plain": ["ranked", "weighted", "filter", "fill-in", "advantages", "self-correction",
              "masked-correction", "intervention", "kto", "shorter-correct", "prm"],
    "trl-dpo": ["best-worst", "best-rest", "all", "adjacent", "top-bottom", "path-rest",
                "advantage", "first-error", "first-pit", "negatives", "outcome"],
    "trl-kto": ["step-kto"],
    "trl-prm": ["prm"],
}  # fmt: skip


def rows(work: Workdir, records: list[Json], *options: str) -> list[Json]:
    work.write("in.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    done = work.run("step-pairs", "in.jsonl", *options)
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.lines]


def group() -> list[Json]:
    """A wrong and two right attempts at one problem, with evidence and labels."""
    found = []
    for index, (verdict, steps) in enumerate(
        [(0.0, ["a1\n", "b1\n", "c1"]), (1.0, ["a1\n", "b5\n", "c5"]), (1.0, ["a9\n", "b\n", "c"])]
    ):
        more: Json = {"id": f"t/{index}", "labels": LABELS, "correct": verdict == 1.0}
        found.append(trace(DRAWS, verdict, steps, **more))
    return found


@pytest.mark.parametrize(("to", "rule"), [(to, rule) for to, all in KINDS.items() for rule in all])
def test_every_rule_writes_rows_of_one_shape(work: Workdir, to: str, rule: str) -> None:
    found = rows(work, group(), "--to", to, "--rule", rule)
    assert found
    shapes = {tuple((key, type(value)) for key, value in row.items()) for row in found}
    assert len(shapes) == min(1, len(found))
    assert {row["rule"] for row in found} <= {rule}
    assert all(row["rule_version"] == RULES[rule].version and row["source"] for row in found)
    assert len({row["id"] for row in found}) == len(found)


def test_the_trainer_decides_the_rule(work: Workdir) -> None:
    for to, rule in [("trl-dpo", "best-worst"), ("trl-kto", "step-kto"), ("trl-prm", "prm")]:
        assert {row["rule"] for row in rows(work, group(), "--to", to)} == {rule}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--at", "gold"], "--at has no effect with --rule best-worst"),
        (["--rule", "kto", "--to", "plain", "--scope", "step"], "--scope has no effect"),
        (["--rule", "prm", "--to", "trl-prm", "--min-gap", "0.1"], "--min-gap has no effect"),
        (["--prompt", "Q:"], "no {problem}"),
        (["--top", "3"], "--top has no effect"),
        (["--regroup"], "--regroup has no effect"),
        (["--max-length", "9"], "--max-length has no effect without --check"),
        (["--check", "trl-dpo", "--rule", "all"], "--rule has no effect with --check"),
        (["--value", "prm", "--confidence", "0.9"], "--confidence needs counts"),
        (["--value", "q", "--rank", "mean"], "--rank has no effect with --value q"),
        (["--rule", "step-kto", "--to", "trl-kto", "--rank", "mean"], "--rank has no effect"),
        (["--to", "plain", "--scope", "step", "--match-length"], "--match-length has no effect"),
        (["--to", "trl-prm", "--rule", "all"], "takes no pair rows"),
        (["--rule", "fill-in", "--to", "llamafactory"], "no chat has"),
        (["--conversational", "--tokenizer", str(POLICY)], "--tokenizer has no effect on chats"),
    ],
)
def test_what_would_do_nothing_is_refused(
    work: Workdir, options: list[str], complaint: str
) -> None:
    done = work.run("step-pairs", *options)
    assert (done.status, done.out) == (2, b"")
    assert complaint in done.err and done.err.count("\n") == 1


def test_a_bad_record_of_a_group_is_named(work: Workdir) -> None:
    records = group()
    del records[1]["tree"]["spine"]
    work.write("in.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    done = work.run("step-pairs", "in.jsonl", "--max-per-problem", "3")
    assert done.status == 3 and "in.jsonl:2: " in done.err and '"tree.spine"' in done.err


@pytest.mark.parametrize("rule", RULES)
def test_a_mutilated_record_is_bad_data_to_every_rule(work: Workdir, rule: str) -> None:
    record = group()[1]
    record["tree"]["scores"] = {"prm": {"x": [0.5] * len(record["tree"]["parent"])}}
    record["tree"]["visits"] = [4, 5]
    lines = broken(json.dumps(record).encode())
    work.write("in.jsonl", lines)
    options = ["--to", "plain", "--rule", rule, "--on-error", "skip", "in.jsonl"]
    values = ["prm", "visits", "q"] if "value" in RULES[rule].uses else []
    for more in [[], *(["--value", value] for value in values)]:
        done = work.run("step-pairs", *options, *more)
        assert done.status == 1, done.err
        assert "internal error" not in done.err
    if rule == "prm":
        assert work.run("step-pairs", *options, "--after-error", "cut").status == 1


# ---- the damages that published pipelines did -----------------------------------------------


def test_no_end_of_text_token_after_a_single_step(work: Workdir) -> None:
    """Trainers append one to every side: after a step it teaches to stop there."""
    done = work.run("step-pairs", "--scope", "step")
    assert done.status == 2 and "stop after a step" in done.err
    options = ["--to", "ms-swift", "--rule", "intervention", "-o", "o.jsonl", "--scope", "step"]
    done = work.run("step-pairs", *options)
    assert done.status == 2 and "stop after a step" in done.err
    for row in rows(work, group()):
        whole = {"".join(record["steps"]) for record in group()}
        assert any(
            (row["prompt"] + row["chosen"]).endswith(end)
            for end in [*whole, *(text for drawn in DRAWS.values() for text, _ in drawn)]
        )


def test_no_end_of_text_token_after_an_attempt_that_was_cut_off(work: Workdir) -> None:
    record = group()[1]
    record["tree"]["finish"][record["tree"]["spine"][-1]] = "length"
    work.write("in.jsonl", json.dumps(record) + "\n")
    done = work.run("step-pairs", "in.jsonl", "--to", "ms-swift", "--rule", "weighted")
    assert (done.status, done.out) == (0, b"")
    assert "1 the attempt was cut off" in done.err
    (row,) = rows(work, [record], "--to", "plain", "--rule", "weighted")
    assert row["ended"] is False


def test_no_second_assistant_header(work: Workdir) -> None:
    """A chat's prompt that ends within an answer gets another header before the side."""
    done = work.run("step-pairs", "--conversational", "--scope", "continuation")
    assert done.status == 2 and "--scope full" in done.err
    for row in rows(work, group(), "--conversational"):
        assert [turn["role"] for turn in row["prompt"]] == ["user"]


def test_no_tie_is_a_preference(work: Workdir) -> None:
    found = rows(work, group(), "--rule", "all")
    assert found and all(row["gap"] > 0 for row in found)


def test_no_step_against_a_whole_remainder(work: Workdir) -> None:
    """Sides of scope step are steps, however far the draw went on."""
    found = rows(work, group(), "--rule", "all", "--scope", "step", "--to", "plain")
    assert all(side.count("\n") <= 1 for row in found for side in (row["chosen"], row["rejected"]))


def test_no_column_that_a_trainer_takes_for_its_own(work: Workdir) -> None:
    live = {"margin", "label", "completion", "messages", "prompts", "completions", "images"}
    assert all(not live & set(row) for row in rows(work, group()))


def test_no_pair_twice_and_no_reader_of_another_order(work: Workdir) -> None:
    records = [*group(), *({**record, "id": f"{record['id']}b"} for record in group())]
    random.Random(1).shuffle(records)
    once, twice = rows(work, group(), "--rule", "all"), rows(work, records, "--rule", "all")
    assert sorted(row["id"] for row in once) == sorted(row["id"] for row in twice)


def test_kto_neighbours_have_different_prompts(work: Workdir) -> None:
    """The trainer's KL term takes a row's neighbour for an answer to another prompt."""
    for record in group():
        prompts = [row["prompt"] for row in rows(work, [record], "--to", "trl-kto")]
        assert len(prompts) > len(set(prompts)) > 1
        assert all(one != other for one, other in pairwise(prompts))
    work.write("in.jsonl", "".join(json.dumps(record) + "\n" for record in group()))
    done = work.run("step-pairs", "in.jsonl", "--to", "trl-kto", "--rule", "kto")
    assert len(done.lines) == 3
    assert "2 rows follow one with the same prompt" in done.err and "shuf" in done.err


def test_the_same_input_gives_the_same_bytes(work: Workdir) -> None:
    work.write("in.jsonl", "".join(json.dumps(record) + "\n" for record in group()))
    first = work.run("step-pairs", "in.jsonl", "--rule", "all")
    again = work.run("step-pairs", "in.jsonl", "--rule", "all", environment={"PYTHONHASHSEED": "7"})
    assert first.out == again.out != b""


# ---- prompts and boundaries -------------------------------------------------------------------


def sampled(prompt: str) -> list[Json]:
    record = trace({0: [("a2", 1.0)]}, 0.0, steps=["a1"])
    record["tree"]["samplers"][0]["prompt"] = prompt
    return [record]


def test_the_prompt_is_the_one_that_was_drawn_from(work: Workdir) -> None:
    (row,) = rows(work, sampled("Q: {problem}\nA:"))
    assert row["prompt"] == "Q: 2 + 2?\nA:"
    (row,) = rows(work, sampled("Q: {problem}\nA:"), "--prompt", "{problem}\\n")
    assert row["prompt"] == "2 + 2?\n"


def test_a_chat_template_is_not_left_out_in_silence(work: Workdir) -> None:
    work.write("in.jsonl", json.dumps(sampled("chat:0a1b")[0]) + "\n")
    done = work.run("step-pairs", "in.jsonl")
    assert done.status == 0 and json.loads(done.out)["prompt"] == "2 + 2?\n"
    assert "use --conversational, or --prompt" in done.err and done.err.count("\n") == 1
    assert work.run("step-pairs", "in.jsonl", "--conversational").err == ""


def test_the_cut_is_between_two_tokens_of_the_vocabulary(work: Workdir) -> None:
    from stepkit.model.local.llama import Model

    tokens = Model(str(POLICY), vocabulary_only=True).tokenize
    whole = "So 3 + 4 = 7"
    spoilt = [cut for cut in range(1, len(whole))
              if tokens(whole)[: len(tokens(whole[:cut]))] != tokens(whole[:cut])]  # fmt: skip
    assert spoilt, "a vocabulary that cuts everywhere proves nothing"
    cut = spoilt[0]
    record = trace({0: [("9 and 9", 1.0)]}, 0.0, steps=[whole[cut:]], problem=whole[:cut])
    work.write("in.jsonl", json.dumps(record) + "\n")
    options = ["in.jsonl", "--prompt", "{problem}", "-v"]
    assert len(work.run("step-pairs", *options).lines) == 1
    done = work.run("step-pairs", *options, "--tokenizer", str(POLICY))
    assert (done.status, done.out) == (0, b"")
    assert "1 no token boundary after the prompt" in done.err
    assert len(work.run("step-pairs", "in.jsonl", "--tokenizer", str(POLICY)).lines) == 1


def test_white_space_moves_across_the_cut_where_that_helps() -> None:
    def tokens(text: str) -> list[int]:
        words = re.findall(r" ?\w+|\n+|\W", text)  # a space belongs to the word after it
        return [crc32(word.encode()) for word in words]

    assert cut_between_tokens("A: ", ["7", "8"], tokens) == ("A:", [" 7", " 8"])
    assert cut_between_tokens("A:\n", ["\n7", "\n8"], tokens) == ("A:", ["\n\n7", "\n\n8"])
    assert cut_between_tokens("A:", [" 7", " 8"], tokens) == ("A:", [" 7", " 8"])
    with pytest.raises(BoundaryError):
        cut_between_tokens("1", ["7", " 8"], tokens)


def test_steps_are_rewarded_inside_of_pairs(work: Workdir) -> None:
    """Full-Step-DPO: right against wrong attempts, each step with its reward."""
    records = group()
    for record, x in zip(
        records, ([0.9, 0.1, None], [0.8, 0.7, 0.6], [0.5, 0.4, 0.3]), strict=True
    ):
        record["scores"] = {"prm": {"of": "validity", "x": x}}
    found = rows(work, records, "--rule", "outcome", "--at", "prm", "--to", "plain")
    assert {tuple(row["chosen_rewards"]) for row in found} == {(0.8, 0.7, 0.6), (0.5, 0.4, 0.3)}
    for row in found:
        assert row["rejected_steps"] == ["a1\n", "b1\n", "c1"]
        assert row["rejected_rewards"] == [0.9, 0.1, 0.0]
        assert row["rejected_masked"] == [False, False, True]
    done = work.run("step-pairs", "--rule", "outcome", "--at", "prm", "--to", "trl-dpo", "in.jsonl")
    assert done.status == 2 and "only in rows --to plain" in done.err


def test_a_judge_decides_what_is_right(work: Workdir) -> None:
    """Attempts without a reference answer, chosen by a column: its first error, else its steps."""
    records = group()
    columns: list[Json] = [
        {"of": "validity", "x": [None, 1, None], "first": -1},
        {"of": "validity", "x": [None, None, 1], "first": 2},
        {"of": "validity", "x": [0.9, None, 0.5]},
    ]
    for record, column in zip(records, columns, strict=True):
        record["tree"]["outcome"][record["tree"]["spine"][-1]] = None
        record["correct"] = None
        record["scores"] = {"proof": column}
    texts = ["".join(record["steps"]) for record in records]
    found = rows(work, records, "--rule", "filter", "--verdict", "proof", "--to", "plain")
    assert [row["completion"] for row in found] == [texts[0], texts[2]]
    found = rows(work, records, "--rule", "kto", "--verdict", "proof", "--to", "plain")
    assert {row["completion"]: row["label"] for row in found} == dict(
        zip(texts, [True, False, True], strict=True)
    )
    found = rows(work, records, "--rule", "outcome", "--verdict", "scores.proof")
    assert {row["rejected"] for row in found} == {texts[1]}
    records[0]["scores"]["proof"] = {"of": "raw", "x": [1, 2, 3]}
    work.write("in.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    done = work.run("step-pairs", "--rule", "kto", "--verdict", "proof", "in.jsonl")
    assert done.status == 3 and "threshold:from=NAME" in done.err


def test_a_filter_hears_what_a_checker_says_of_all_steps(work: Workdir) -> None:
    records = group()[1:]
    records[0]["scores"] = {"check": {"x": [None, 1, None], "first": -1}}
    records[1]["scores"] = {"check": {"x": [None, 1, None], "first": None}}
    found = rows(work, records, "--rule", "filter", "--at", "check", "--to", "plain")
    assert [row["completion"] for row in found] == ["a1\nb5\nc5"]


def test_scores_make_unpaired_rows_of_a_flat_trace(work: Workdir) -> None:
    record: Json = {"id": "t", "group": "t", "problem": "2 + 2?", "correct": True}
    record |= {"response": "a\nb\nc", "steps": ["a\n", "b\n", "c"]}
    record["scores"] = {"prm": {"of": "validity", "x": [0.9, 0.2, None]}}
    found = rows(
        work, [record], "--rule", "step-kto", "--at", "prm", "--scope", "step", "--to", "plain"
    )
    assert [(row["prompt"][-2:], row["completion"], row["label"]) for row in found] == [
        ("?\n", "a\n", True),
        ("a\n", "b\n", False),
    ]
    (row,) = rows(work, [record], "--rule", "step-kto", "--at", "prm")
    assert (row["completion"], row["label"]) == ("a\nb\nc", True)  # b is bad, the attempt was not


def test_log_probabilities_are_values_of_pairs(work: Workdir) -> None:
    record = trace({0: [("a2\nx", 1.0)]}, 1.0, ["a1\n", "b"])
    step(record, 0, "a3\n", 1)
    scores = [None, -2.5, -1.0, None, -0.5]
    record["tree"]["scores"] = {"logprob": {"of": "raw", "x": scores}}
    options = ["--value", "scores.logprob", "--scope", "step", "--to", "plain"]
    (row,) = rows(work, [record], *options)
    assert (row["chosen"], row["rejected"], row["gap"]) == ("a3\n", "a1\n", 2.0)


def test_the_rule_decides_the_trainer(work: Workdir) -> None:
    for rule, key in [
        ("all", "chosen"),
        ("kto", "label"),
        ("prm", "steps"),
        ("weighted", "weights"),
    ]:
        assert all(key in row for row in rows(work, group(), "--rule", rule))
