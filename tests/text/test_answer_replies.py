"""What a judge replies on two answers: the form that is asked for, near misses, and no guesses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from stepkit.text.answer_replies import WORDS, grammar, most_bytes, read
from stepkit.text.verdicts import Verdict


@pytest.mark.parametrize(("word", "same"), [("same", True), ("different", False), ("unsure", None)])
def test_the_form_that_is_asked_for(word: str, same: bool | None) -> None:
    assert read(f"Reason: both are 12\nVerdict: {word}") == Verdict(same, "both are 12")


@pytest.mark.parametrize(
    "text",
    [
        "Reason: both are 12\nVerdict: same\n\n",
        "**Reason:** both are 12\n\n**Verdict:** same",
        "REASON: both are 12\nVERDICT: **Same**.",
        "both are 12\nverdict : same",
        "<think>Reason: no\nVerdict: different</think>\nReason: both are 12\nVerdict: same",
    ],
)
def test_as_chat_models_write_it(text: str) -> None:
    assert read(text) == Verdict(True, "both are 12")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no verdict in the reply"),
        ("They are the same.", "no verdict in the reply"),
        ("The verdict: same", "no verdict in the reply"),
        ("Verdict: same\nVerdict: same", "two verdicts in the reply"),
        ("Verdict: same\nVerdict: different", "two verdicts in the reply"),
        ("Verdict: not the same", "a verdict of another form in the reply"),
        ("Verdict: same, different or unsure", "a verdict of another form in the reply"),
        ("Verdict: same\nBut x may be 3.", "a verdict of another form in the reply"),
        ("Verdict:\nsame", "a verdict of another form in the reply"),
        ("<think>Verdict: same", "the thinking has no end in the reply"),
    ],
)
def test_what_is_not_clear_decides_nothing(text: str, why: str) -> None:
    assert read(text) == Verdict(None, why)


def test_a_reason_of_several_lines_is_kept_whole() -> None:
    assert read("Reason: one\ntwo\nVerdict: unsure") == Verdict(None, "one\ntwo")


def test_a_missing_reason_is_named() -> None:
    assert read("Verdict: different") == Verdict(False, "no reason in the reply")


@examples(100)
@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert read(text).reason


@examples(100)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1,
               max_size=9), st.sampled_from(list(WORDS)))  # fmt: skip
def test_what_the_grammar_allows_is_read_and_no_longer_than_it_says(reason: str, word: str) -> None:
    reply = f"Reason: x{reason}\nVerdict: {word}"
    assert read(reply).same is WORDS[word]
    assert len(reply.encode()) <= most_bytes(len(reason) + 1)
    assert f"{{1,{len(reason) + 1}}}" in grammar(len(reason) + 1)
