"""Cuts by tokens, thinking, cue words and code: against brute force and by hand."""

from __future__ import annotations

import random
import time
from collections import Counter
from math import exp, log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.errors import DataError
from stepkit.text.cues import CUES, cue_starts
from stepkit.text.protected_parts import (
    after_thinking,
    fenced,
    parts,
    silent,
    thinking,
    with_thinking,
)
from stepkit.text.segment import first_step, split
from stepkit.text.token_cuts import TextTokens, least_probable, quantile, token_starts

PIECES = ["a", " ", "\n", "\u00e9", "\u20ac", "\U0001f600", "</think>", "<think>", "```\n", "So "]


@st.composite
def tokenised(draw: Any) -> tuple[str, TextTokens]:
    """A text and tokens that hold any number of its bytes each, also parts of characters."""
    text = draw(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
    size = len(text.encode())
    ends = [*sorted(draw(st.lists(st.integers(0, size), max_size=20))), size]
    sizes = [end - begin for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    chances = st.none() | st.sampled_from([-0.1, -0.7, -2.0, -5.5])
    logprobs = draw(st.lists(chances, min_size=len(sizes), max_size=len(sizes)))
    return text, TextTokens(sizes, logprobs)


@given(tokenised())
def test_a_token_begins_at_the_character_that_holds_its_first_byte(
    case: tuple[str, TextTokens],
) -> None:
    text, tokens = case
    begin = 0
    for size, start in zip(tokens.size, token_starts(text, tokens.size), strict=True):
        whole = [n for n in range(len(text) + 1) if len(text[:n].encode()) <= begin]
        assert start == max(whole)
        begin += size


@pytest.mark.parametrize(
    "rule",
    [
        {"by": "confidence", "below": 0.5},
        {"by": "confidence", "top": 2},
        {"by": "tokens", "size": 3},
        {"by": "confidence", "below": 0.5, "min_chars": 4, "max_steps": 3},
        {"by": "cue"},
    ],
    ids=str,
)
@given(case=tokenised())
def test_steps_join_to_the_response(rule: dict[str, Any], case: tuple[str, TextTokens]) -> None:
    text, tokens = case
    steps = split(text, rule, tokens)
    assert "".join(steps) == text
    assert all(not silent(step) for step in steps) or len(steps) <= 1
    assert first_step(text, rule, tokens=tokens) == (steps or [""])[0]


@given(tokenised(), st.floats(0.01, 1))
def test_every_step_but_the_first_begins_where_the_model_was_unsure(
    case: tuple[str, TextTokens], below: float
) -> None:
    text, tokens = case
    if thinking(text):
        return  # cuts fall around the thinking, too
    unsure = {
        start
        for start, logprob in zip(token_starts(text, tokens.size), tokens.logprob, strict=True)
        if logprob is not None and exp(logprob) < below
    }
    begin = 0
    for step in split(text, {"by": "confidence", "below": below}, tokens)[:-1]:
        begin += len(step)
        assert begin in unsure


def test_a_step_ends_before_an_unsure_token() -> None:
    """AdaptiveStep, section 3.1: the token of low confidence begins the next step."""
    tokens = TextTokens([3, 3, 4, 2], [log(0.2), log(0.9), log(0.3), log(0.31)])
    rule = {"by": "confidence", "below": 0.305}
    assert split("one two sixth", rule, TextTokens([3, 4, 4, 2], tokens.logprob)) == [
        "one two",
        " sixth",
    ]
    assert split("onetwofour.\n", rule, tokens) == ["onetwo", "four.\n"]


def test_a_character_over_several_tokens_stays_whole() -> None:
    text = "so \U0001f600!"
    tokens = TextTokens([3, 2, 2, 1], [-0.1, -0.1, -6.0, -0.1])
    assert split(text, {"by": "confidence", "top": 1}, tokens) == ["so ", "\U0001f600!"]
    assert split(text, {"by": "tokens", "size": 2}, tokens) == ["so ", "\U0001f600!"]


def test_the_least_probable_tokens_never_begin_the_response() -> None:
    assert least_probable([-9.0, -1.0, None, -3.0, -3.0, -0.5], 2) == [3, 4]
    assert least_probable([-9.0], 3) == []


@given(
    st.lists(st.integers(-50, 0).map(lambda n: n / 10), min_size=1, max_size=60), st.floats(0, 1)
)
def test_as_many_tokens_lie_below_the_quantile_as_may_be(values: list[float], share: float) -> None:
    below = quantile(Counter(values), share)

    def under(threshold: float) -> int:
        return sum(exp(value) < threshold for value in values)

    possible = [under(exp(value)) for value in values]
    assert under(below) == max(count for count in possible if count <= share * len(values))
    assert below == float(f"{below:.6g}")


def test_tokens_that_do_not_fit_are_an_error() -> None:
    rule = {"by": "tokens", "size": 1}
    with pytest.raises(DataError, match="do not add up"):
        split("abc", rule, TextTokens([1, 1], [None, None]))
    with pytest.raises(DataError, match="needs to know the tokens"):
        split("abc", rule)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("<think>\na\n\nb\n</think>\n\nc\nd", ["<think>\na\n\n", "b\n</think>\n\n", "c\nd"]),
        ("a\n\nb</think>c", ["a\n\n", "b</think>", "c"]),  # the template opened it
        ("<think>a\n\nb", ["<think>a\n\n", "b"]),  # cut off
        ("x <think>a</think> y", ["x ", "<think>a</think> ", "y"]),
        ("<think>\n\n</think>\n\nAnswer.", ["<think>\n\n</think>\n\nAnswer."]),  # switched off
        ("<think>", ["<think>"]),
        ("a\n</think>\n", ["a\n</think>\n"]),
        ("<think>a</think>b</think>c", ["<think>a</think>", "b</think>", "c"]),
        ("<think>a</think>b<think>c</think>d", ["<think>a</think>", "b", "<think>c</think>", "d"]),
        (
            "So <think>a</think>\n<think></think>b",
            ["So ", "<think>a</think>\n", "<think></think>b"],
        ),
        (
            "<|begin_of_thought|>\na\n<|end_of_thought|>\n\n<|begin_of_solution|>\nb",
            ["<|begin_of_thought|>\na\n<|end_of_thought|>\n\n<|begin_of_solution|>\n", "b"],
        ),
        ("<Thinking>a</Thinking>\nb", ["<Thinking>a</Thinking>\n", "b"]),
        ("[THINK]a[/THINK]b", ["[THINK]a[/THINK]", "b"]),
    ],
)
def test_no_step_holds_thinking_and_answer(text: str, steps: list[str]) -> None:
    assert split(text, {"by": "blank"}) == steps


@pytest.mark.parametrize(
    ("response", "after"),
    [
        ("No tags at all: 5", "No tags at all: 5"),
        ("<think>Perhaps 4.</think>It is 5.", "It is 5."),
        ("Perhaps 4.\n</think>\n\nIt is 5.", "\n\nIt is 5."),  # the template opened it
        ("<think>Perhaps 4. But wait", None),
        ("It is 4. <think>Or not", None),
        ("<think>It is 5.</think>", ""),
        ("<think></think>It is 5.", "It is 5."),
        ("<think>4</think>Or 5? <think>6</think>It is 7.", "It is 7."),
        ("<|begin_of_thought|>4, no<|end_of_thought|>\n<|begin_of_solution|>5", "5"),
        ("<|begin_of_thought|>4<|begin_of_solution|>5<|end_of_solution|>", "5"),
        ("<|begin_of_thought|>4, no", None),
        ("<Thought>4</Thought>5", "5"),
        ("[THINK]4[/THINK]5", "5"),
        ("\u25c1think\u25b74\u25c1/think\u25b75", "5"),
        ("<|START_THINKING|>4<|END_THINKING|><|START_RESPONSE|>5<|END_RESPONSE|>", "5"),
        (
            "<|channel|>analysis<|message|>4<|end|><|start|>assistant<|channel|>final<|message|>5",
            "5",
        ),
        ("As a<think, b>thinking and [think]: 5", "As a<think, b>thinking and [think]: 5"),
    ],
)  # fmt: skip
def test_an_answer_is_looked_for_after_the_thinking(response: str, after: str | None) -> None:
    assert after_thinking(response) == after


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_what_comes_after_the_thinking_ends_the_response(text: str) -> None:
    after, spans = after_thinking(text), thinking(text)
    if after is None:
        assert spans[-1][1] == len(text)
    else:
        assert text.endswith(after)
        assert after == (text[spans[-1][1] :] if spans else text)


def test_tags_take_linear_time() -> None:
    text = "<|end_of_thought|>" + " " * 40_000 + "<|end_of_thought|> <|begin_of_solution|> " * 1000
    begin = time.process_time()
    assert silent(text) and len(parts(text)) == 1 and after_thinking(text + "<think") is not None
    assert time.process_time() - begin < 0.5


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_parts_join_and_are_not_silent(text: str) -> None:
    cut = [text[begin:end] for begin, end in parts(text)]
    assert "".join(cut) == text
    assert len(cut) <= 1 or not any(silent(part) for part in cut)


@given(st.text(), st.text())
def test_thinking_that_came_apart_is_put_together_once(thought: str, answer: str) -> None:
    whole = with_thinking(thought, answer)
    assert whole.endswith(answer) and thought in whole
    assert with_thinking(thought, whole) == whole


def test_cue_words_begin_steps_where_sentences_begin() -> None:
    text = "Sum is 5. Wait, no. And So on, wait. \nHmm. Waiting is no cue. But wait: 6."
    assert split(text, {"by": "cue"}) == [
        "Sum is 5. ", "Wait, no. And So on, wait. \n", "Hmm. Waiting is no cue. ", "But wait: 6.",
    ]  # fmt: skip
    assert split("no cue here.", {"by": "cue"}) == ["no cue here."]


@pytest.mark.parametrize("cue", CUES)
def test_every_cue_is_found(cue: str) -> None:
    assert cue_starts(f"x. {cue}, y") == [3]


def test_cues_of_the_answer_do_not_count() -> None:
    text = "<think>\nOkay, a. Wait, b.</think>\nSo it is b. Therefore 5."
    assert split(text, {"by": "cue"}) == [
        "<think>\nOkay, a. ", "Wait, b.</think>\n", "So it is b. Therefore 5.",
    ]  # fmt: skip


CODE = "We run:\n```python\nx = 1\n\n# Step 2: no\ny = 2.5. Then\n```\nStep 3: done.\n"


@pytest.mark.parametrize("by", ["block", "lines", "blank", "sentence", "marker"])
def test_code_is_not_cut_unless_asked(by: str) -> None:
    block = CODE[CODE.index("```") : CODE.index("Step 3")]
    (whole,) = [step for step in split(CODE, {"by": by}) if "x = 1" in step]
    assert block in whole
    if by in ("lines", "blank"):
        assert len(split(CODE, {"by": by, "code": True})) > len(split(CODE, {"by": by}))


def test_cuts_by_confidence_leave_code_whole() -> None:
    tokens = TextTokens([1] * len(CODE), [log(0.4)] * len(CODE))
    rule = {"by": "confidence", "below": 0.5}
    block = CODE[CODE.index("```") : CODE.index("Step 3")]
    assert block in split(CODE, rule, tokens)
    assert block not in split(CODE, {**rule, "code": True}, tokens)


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("a\n```\nb\n```\nc", ["```\nb\n```\n"]),
        ("````\n```\n````\n", ["````\n```\n````\n"]),
        ("~~~ x\n```\n~~~", ["~~~ x\n```\n~~~"]),
        ("```\nnot closed\n\nb", ["```\nnot closed\n\nb"]),
        ("see ```here``` now\n```x` no fence\n", []),
        ("1. a\n     ```\n     b\n     ```\nc", ["     ```\n     b\n     ```\n"]),
    ],
)
def test_fences_are_those_of_commonmark(text: str, blocks: list[str]) -> None:
    assert [text[begin:end] for begin, end in fenced(text)] == blocks


@pytest.mark.parametrize("text", ["<think>", "</think> ", "```\n", "~~~", "Wait. ", "\n"])
def test_long_texts_take_linear_time(text: str) -> None:
    long = text * (100_000 // len(text))
    size = [1] * len(long)
    draw = random.Random(1)
    tokens = TextTokens(size, [-draw.random() for _ in size])
    begin = time.process_time()
    for rule in (
        {"by": "cue"},
        {"by": "block"},
        {"by": "lines"},
        {"by": "confidence", "below": 0.6},
    ):
        split(long, rule, tokens)
    assert time.process_time() - begin < 5
