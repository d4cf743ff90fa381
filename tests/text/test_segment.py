"""Segmenters: what they cut, and that nothing is ever lost."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.errors import DataError
from stepkit.text.segment import check, first_step, split
from stepkit.text.sentences import sentence_ends, spans

RULES: list[dict[str, Any]] = [
    {"by": "block"},
    {"by": "lines"},
    {"by": "blank"},
    {"by": "marker"},
    {"by": "sentence"},
    {"by": "regex", "pattern": r"\d+"},
    {"by": "regex", "pattern": r"^Then", "start": True},
    {"by": "regex", "pattern": r"(?=Step)|\s*"},
    {"by": "lines", "min_chars": 5},
    {"by": "sentence", "min_chars": 12, "max_steps": 3},
    {"by": "lines", "max_steps": 1},
]
AWKWARD = [
    "\r", "\r\n", "\n", "\n\n", "\u2028", "\x85", "\x00", "\U0001f600", "e\u0301", " ", "\t", "$",
    "\\(", "\\)", "\\[", "\\]", "\\boxed{", "{", "}", "\\", "`", "```", ". ", "? ", "! ", "...",
    "$$", "3.14", "e.g. ", "Step 1:", "**Step 2.** ", "Then ", "A", "b", "1", "\u3002",
    "\\begin{x}", "\\end{x}",
]  # fmt: skip
texts = st.text() | st.lists(st.sampled_from(AWKWARD)).map("".join)


@pytest.mark.parametrize("rule", RULES, ids=str)
@given(text=texts)
def test_steps_join_to_the_response(rule: dict[str, Any], text: str) -> None:
    steps = split(text, rule)
    assert "".join(steps) == text
    assert bool(steps) == bool(text)
    assert all(step.strip() for step in steps) or steps == [text]
    assert len(steps) <= rule.get("max_steps", len(steps))
    if len(steps) > 1 and "max_steps" not in rule:
        assert all(len(step.strip()) >= rule.get("min_chars", 0) for step in steps)


@pytest.mark.parametrize("rule", RULES, ids=str)
@given(text=texts)
def test_first_step_is_the_first_of_the_steps(rule: dict[str, Any], text: str) -> None:
    assert first_step(text, rule) == (split(text, rule) or [""])[0]


@pytest.mark.parametrize("rule", [{"by": "lines"}, {"by": "blank"}, {"by": "sentence"}], ids=str)
def test_a_continuation_is_cut_as_the_whole(rule: dict[str, Any]) -> None:
    text = "First, 1 + 1 = 2. Then $a. B$ holds.\n\nSo we get 3.14.\nAnswer: 3\n\nDone. Really."
    steps = split(text, rule)
    for taken in range(len(steps)):
        rest = "".join(steps[taken:])
        assert split(rest, rule) == steps[taken:]
        assert first_step(rest, rule, before=taken) == steps[taken]


def test_the_last_step_allowed_takes_the_rest() -> None:
    rule = {"by": "lines", "max_steps": 2}
    assert split("a\nb\nc\n", rule) == ["a\n", "b\nc\n"]
    assert first_step("b\nc\n", rule, before=1) == "b\nc\n"
    assert first_step("b\nc\n", rule, before=5) == "b\nc\n"


def test_lines() -> None:
    assert split("a\n\nb\n \nc", {"by": "lines"}) == ["a\n\n", "b\n \n", "c"]
    assert split("\n\na\nb", {"by": "lines"}) == ["\n\na\n", "b"]
    assert split("a\rb\u2028c\x0bd\r\ne", {"by": "lines"}) == ["a\rb\u2028c\x0bd\r\n", "e"]
    assert split("", {"by": "lines"}) == []
    assert split(" \n\n", {"by": "lines"}) == [" \n\n"]


def test_blank_lines() -> None:
    text = "a\nb\n\n\n  c\r\n \t\r\nd\n"
    assert split(text, {"by": "blank"}) == ["a\nb\n\n\n", "  c\r\n \t\r\n", "d\n"]


def test_short_steps_go_forward_and_a_short_last_one_back() -> None:
    rule = {"by": "lines", "min_chars": 3}
    assert split("a\nbb\ncccc\nd\n", rule) == ["a\nbb\n", "cccc\nd\n"]
    assert split("aaaa\nb\nccc\n", rule) == ["aaaa\n", "b\nccc\n"]
    assert split("a\n", rule) == ["a\n"]


@pytest.mark.parametrize(
    "line",
    ["Step 2: x", "STEP 2. x", "  step 2) x", "**Step 2:** x", "**Step 2**: x", "**Step 2**",
     "### Step 2", "## **Step 2: x**", "- Step 2: x", "Step 2 - x", "Step 2 \u2013 x", "_Step 2_",
     "Step 2", "step 2  ", "**Step 2** x", "2. **Step 2:** x", "2) Step 2: x", "Step 2 (setup): x",
     "Step 2 (setup)", "**Step 2 (setup):** x", "### Step 2: x", "Step two: x", "Step II: x",
     "Step 2 of 5: x", "Step 2/5: x", "Step #2: x", "Step-2: x", "[Step 2] x", "> Step 2: x",
     "\\textbf{Step 2:} x", "\\textbf{Step 2} x", "***Step 2*** x", "*Step 2*: x", "Step 2 -- x",
     "\u6b65\u9aa42\uff1ax", "\u7b2c\u4e8c\u6b65\uff1ax"],
)  # fmt: skip
def test_markers(line: str) -> None:
    text = f"Let us see.\nStep 1: a Step 7: b\n{line}\nmore"
    assert split(text, {"by": "marker"}) == [text[: text.index(line)], f"{line}\nmore"]


@pytest.mark.parametrize(
    "line",
    ["Step 2 is x", "in Step 2: x", "Step 2.5: x", "Steps 2: x", "Step x: y", "Step in: y",
     "**Step 2 is x**", "Step 2} x", "Step 2] x", "Step by step: 2"],
)  # fmt: skip
def test_no_markers(line: str) -> None:
    text = f"Step 1: a\n{line}\nmore"
    assert split(text, {"by": "marker"}) == [text]


def test_regex_ends_or_begins_steps() -> None:
    rule = {"by": "regex", "pattern": r"^Then "}
    assert split("a\nThen b\nThen c", rule) == ["a\nThen ", "b\nThen ", "c"]
    assert split("a\nThen b\nThen c", {**rule, "start": True}) == ["a\n", "Then b\n", "Then c"]
    assert split("aXXb", {"by": "regex", "pattern": "(?=X)"}) == ["a", "X", "Xb"]


SENTENCES = [
    ["We have 3.14 and 1,000.5 in all.", " Then we go on!", " Do we?", " Yes."],
    ["Let $x = 3.14. Then$ be so.", " So \\(a. B\\) is it."],
    ["We get \\[ x = 5. Y \\] and $$a. B$$ there.\n", "Next."],
    ["So \\boxed{\\frac{1. A}{2. B}} is it.", " Done."],
    ["\\begin{align} a. B \\\\ c. D \\end{align} ends.", " So."],
    ["Look at `a. B` now.", " And\n```\nx. Y\n\nZ. W\n```\n"],
    ["It is so, e.g. Here and i.e. There, cf. Smith.", " So Fig. 2 and Eq. (3) say."],
    ["See No. 5 and p. 7 there.", " The answer is no.", " We stop."],
    ["J. R. Smith met Mrs. Jones of the U.S. Army.", " They talked."],
    ["At point P.", " Then we turn."],
    ["1. First we add.", " Then more.\n", "2. Now x = 5.\n", "   - an item.\n", "So."],
    ["Step 3. Compute it.", " OK."],
    ["1 + 2 + ... + 10 is 1, 2, ... 10 summed.", " Hmm...", " Wait."],
    ['He said "Go."', " (It was so.)", " She said \u201cNo.\u201d", " **Fine.**", " End."],
    ["5! = 120 and n! (n factorial) grow.", " Wow!", " Yes."],
    ["It costs $5.", " Then $6 more.", " So \\$7.", " End."],
    ["Therefore $x = 5.$", " Then $y$."],
    ["One\n\n", "Two\n \n", "# Three\nFour"],
    ["a is 5.", " b is 6.", " x is approx. seven etc. and so on.", " The end."],
    ["\u5979\u8d70\u4e86\u3002", "\u4ed6\u6765\u4e86\uff01", "\u597d\u3002"],
    ["Not closed \\[ x = 5. Then y. Z\n\n", "But the next paragraph.", " Is."],
    ["Not closed $x = 5."],
]


@pytest.mark.parametrize("sentences", SENTENCES, ids=lambda sentences: sentences[0][:20])
def test_sentences(sentences: list[str]) -> None:
    assert split("".join(sentences), {"by": "sentence"}) == sentences


@given(
    inner=st.text(alphabet="aB. ?!\\frac{}0", max_size=30),
    marks=st.sampled_from(
        [("$", "$"), ("$$", "$$"), ("\\(", "\\)"), ("\\[", "\\]"), ("\\boxed{", "}")]
    ),
)
def test_no_cut_inside_a_formula(inner: str, marks: tuple[str, str]) -> None:
    inner = inner.replace("\\", "").replace("{", "").replace("}", "")
    before, formula = "We have ", f"{marks[0]}x{inner}y{marks[1]}"
    ends = sentence_ends(f"{before}{formula} here. Then this.")
    assert not any(len(before) < end < len(before + formula) for end in ends)


def test_spans_lie_apart() -> None:
    text = r"a $x$ \(y\) \$5 \frac{1}{2} \\[z] \unclosed{ $"
    found = [text[begin:end] for begin, end in spans(text)]
    assert found == ["$x$", r"\(y\)", r"\frac{1}{2}", r"\unclosed{ $"]


@pytest.mark.parametrize(
    "text",
    ["$a ", "\\(", "\\a{", "`a` ", "\\$", ". A", "a.b.", ".) ", "**", "\n \t", "Step 1", "```"],
)
def test_long_texts_take_linear_time(text: str) -> None:
    begin = time.process_time()
    for rule in RULES[:4]:
        split(text * (100_000 // len(text)), rule)
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({}, "split.by"),
        ({"by": "words"}, "split.by"),
        ({"by": ["lines"]}, "split.by"),
        (["lines"], "split"),
        ({"by": "lines", "merge": 3}, "split.merge"),
        ({"by": "lines", "min_chars": -1}, "split.min_chars"),
        ({"by": "lines", "min_chars": True}, "split.min_chars"),
        ({"by": "lines", "max_steps": 0}, "split.max_steps"),
        ({"by": "regex"}, "split.pattern"),
        ({"by": "regex", "pattern": "("}, "split.pattern"),
        ({"by": "regex", "pattern": "a", "start": 1}, "split.start"),
        ({"by": "lines", "pattern": "a"}, "split.pattern"),
        ({"by": "lines", "below": 0.5}, "split.below"),
        ({"by": "lines", "code": 1}, "split.code"),
        ({"by": "confidence"}, "split"),
        ({"by": "confidence", "below": 0.5, "top": 2}, "split"),
        ({"by": "confidence", "below": 1.5}, "split.below"),
        ({"by": "confidence", "top": 0}, "split.top"),
        ({"by": "tokens"}, "split.size"),
        ({"by": "tokens", "size": "3"}, "split.size"),
    ],
)
def test_what_is_no_rule_is_named(rule: Any, field: str) -> None:
    with pytest.raises(DataError) as caught:
        check(rule)
    assert caught.value.field == field
