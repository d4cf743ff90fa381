r"""The default cut: what a person keeps together stays together, also while a text is written."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepkit.text.displays import REACH, displays
from stepkit.text.segment import first_step, first_step_stands, split

BLOCK = {"by": "block"}

CASES: dict[str, list[str]] = {
    "a line is a step": ["3 + 4 = 7\n", "7 * 2 = 14\n\n", "Answer: 14"],
    "display": ["We find\n\\[\ny = 4\n\\]\n", "Hence y is 4."],
    "display on one line": ["The area is\n$$ a \\cdot b $$\n", "Now the rest."],
    "display with blank lines": ["It is:\n\n\\[\n\ny = 4\n\n\\]\n\n", "Done with it."],
    "dollars on lines of their own": ["So\n$$\nx\n= 3\n$$\n", "We are done."],
    "inline mathematics over lines": ["Then\n\\(\nx = 3\n\\)\n", "And so on we go."],
    "display after a sentence": ["We add.\n\\[ 1 + 1 = 2 \\]\n", "We go on."],
    "display after a paragraph": ["We add.\n\n", "\\[ 1 + 1 = 2 \\]\n\n", "We go on."],
    "displays that follow each other": ["Thus:\n\\[ 3x = 6 \\]\n", "\\[ x = 2 \\]\n"],
    "a display that goes on": ["Thus:\n\\[ x = 6 / 3 \\]\n\\[ = 2 \\]\n", "Good for us."],
    "where": ["We use\n\\[ E = mc^2, \\]\nwhere c is known.\n", "Now m = 3."],
    "align": [
        "Expanding,\n\\begin{align*}\n(a + b)^2 &= a^2 + 2ab + b^2 \\\\\n&= 9.\n\\end{align*}\n",
        "Therefore a = 1.",
    ],
    "cases in a display": [
        "Let\n\\[\nf(x) = \\begin{cases}\n1 & x > 0 \\\\[4pt]\n\n0 & x \\le 0\n\\end{cases}\n\\]\n",
        "Now f(1) = 1.",
    ],
    "a matrix in the line": [
        "The matrix $\\begin{pmatrix}\n1 & 2 \\\\\n3 & 4\n\\end{pmatrix}$ is regular.\n",
        "Its determinant is -2.",
    ],
    "environments of text are cut": [
        "\\begin{enumerate}\n\\item Add 1 and 2.\n", "\\item Then 3 more.\n\\end{enumerate}\n",
        "That is 6.",
    ],
    "text after a display's end": ["So\n\\[\nx = 1\n\\]and y = 2.\n", "Both are known."],
    "never closed": ["We get\n\\[\nx = 2\nand more\n\n", "The next paragraph.\n", "And its end."],
    "code": ["We run this:\n```python\nx = 1\n\nprint(x)\n```\n", "It prints 1."],
    "code and its output": ["```python\nprint(1)\n```\n```output\n1\n```\n", "So it is 1."],
    "code after a sentence": ["We run it.\n```python\nx = 1\n```\n", "It is 1."],
    "code after a paragraph": ["We run it.\n\n", "```\nx = 1\n```\n", "It is 1."],
    "code in a list": ["1. Run:\n    ```\n    x\n    y\n    ```\n", "2. Look at it."],
    "a closing fence ends its step": ["~~~\na\n~~~\n", "b is next here."],
    "table": [
        "The values:\n\n| day | eggs |\n|---|---|\n| 1 | 16 |\n| 2 | 17 |\n\n", "In all 33.",
    ],
    "table without outer bars": ["day | eggs\n--- | ---\n1 | 16\n2 | 17\n\n", "In all 33."],
    "absolute values are no table": ["|x| = 3 holds\n", "|y| = 4 holds\n"],
    "quote": ["> Ann has 3 eggs.\n> She eats one.\n>\n> How many?\n\n", "She has 2."],
    "heading": ["## Solution\n\n### First part\nWe add 1.\n", "We add 2."],
    "heading with underline": ["Solution\n========\nWe add 1.\n", "We add 2."],
    "emphasised label": ["**Step 3: Find the sum.**\n\n3 + 4 = 7.\n", "We go on."],
    "emphasised heading": ["**Add the eggs**\n\n3 + 4 = 7.\n", "**Subtract:**\n7 - 1 = 6."],
    "an emphasised answer is no heading": ["**204**\n\n", "I hope that it helps you."],
    "an emphasised sentence is no heading": ["**The answer is 5.**\n", "As we have seen above."],
    "answer after a heading": ["It is 4.\n\n", "# Answer\n\n4"],
    "GSM8K's end": ["2 + 2 = 4\n", "#### 4\n", "Next question: what is 5?"],
    "number alone": ["1.\nWe add 1.\n", "2.\n\nWe add 2.\n", "(c)\nWe are done."],
    "number with a title": ["1. **Eggs:**\n   She has 3 eggs.\n", "2. **Hens**\n   And 4 hens."],
    "label": ["Step 1 (setup):\nLet x be 3.\n", "Step 2\nThen x + 1 = 4.\n", "Case B\nIt fails."],
    "labels that say it all": ["Step 1: 3 + 4 = 7\n", "Step 2: 7 * 2 = 14\n"],
    "labels without a relation": ["Step 1: add them up\n", "Step 2: halve it\nHalf of 4 is 2."],
    "label with a full stop": ["Step 1: Find the sum.\nIt is 3 + 4 = 7.\n", "We go on."],
    "glue": ["So\n\nx = 3\n", "Then:\ny = 4\n", "Therefore,\nz = 5\n", "We get\nw = 6\n"],
    "a comma does not end a step": ["For all x above 3,\nwe have y = 4.\n", "And so on."],
    "a plan is a step": ["We follow these steps:\n\n", "1. Add them up.\n", "2. Halve the sum."],
    "a short introduction of a list": ["Given:\n- x = 3 is known\n", "- y = 4 is known"],
    "short facts": ["- Speed: 60 mph\n- Time: 2 hours\n\n", "The way is 120 miles."],
    "relation": ["Total = 3 * 4\n      = 12\n", "Half = 6"],
    "no letter": ["That is it.\n\n---\n\n", "Now the second part.\n***\n"],
    "a lower case variable": ["x = 3\n", "y = 4\n", "sin(x) = 0"],
    "white space of any kind": ["\n \u2028\nLine one is it.\n\x0b\n", "Line two is it.\r\n\t"],
    "Chinese": ["\u6211\u4eec\u5f97\u5230\uff1a\n3 + 4 = 7\n", "\u7b54\u6848\u662f7\u3002"],
}  # fmt: skip


@pytest.mark.parametrize("steps", CASES.values(), ids=CASES)
def test_what_belongs_together_is_one_step(steps: list[str]) -> None:
    text = "".join(steps)
    assert split(text, BLOCK) == steps
    for taken in range(len(steps)):
        assert split("".join(steps[taken:]), BLOCK) == steps[taken:]


@pytest.mark.parametrize("steps", CASES.values(), ids=CASES)
def test_a_growing_text_is_cut_as_the_whole(steps: list[str]) -> None:
    text = "".join(steps)
    known = next((n for n in range(len(text)) if first_step_stands(text[:n], BLOCK)), None)
    assert known is None or first_step(text[:known], BLOCK) == steps[0]


PIECES = [
    "\n", "\n\n", " ", "a", "So", "We get", "x = 2", "1", "12 ", ".", ":", ",", "\\[", "\\]", "$$",
    "\\begin{align*}", "\\end{align*}", "\\begin{cases}", "\\end{cases}", "\\(\n", "\\)", "\\\\",
    "\\begin{itemize}", "\\item", "[asy]", "[/asy]", "```\n", "```output\n", "~~~", "|", "|---|",
    "> ", "# ", "**", "Step 2", "Case A", "- ", "1. ", "= 3", "where ", "---", "==", "<think>",
    "</think>", "\r", "\u2028", "\x1c", "\u3002", "\u6211", "(", "Then we go on to add them up.",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)
RULES: list[dict[str, Any]] = [
    BLOCK,
    {"by": "block", "min_chars": 8},
    {"by": "block", "code": True},
    {"by": "lines"},
    {"by": "blank"},
    {"by": "marker"},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@given(text=texts, more=texts)
def test_a_step_that_stands_stays_whatever_follows(
    rule: dict[str, Any], text: str, more: str
) -> None:
    if first_step_stands(text, rule):
        assert first_step(text + more, rule) == first_step(text, rule)


@given(text=texts)
def test_the_steps_after_the_first_are_those_of_the_rest(text: str) -> None:
    steps = split(text, BLOCK)
    if steps and first_step_stands(text, BLOCK):
        assert split(text[len(steps[0]) :], BLOCK) == steps[1:]


HOSTILE = [
    "\\[", "\\[\n", "\\begin{a}", "\\begin{a}\n\\begin{b}", "\\begin{a}\\end{b}", "$$\n",
    "[asy]\n", "\\(\n", "```\n", "`", "|a|\n", "|---|\n", "> \n", "# a\n", "**", "**a\n",
    "Step 1\n", "So\n", " \n", "\n \t", "\r", "- \n", "1. ", "=\n", "---\n", "<think>", "a:\n", "(",
    "Step 1 (",
    "\\textbf{Step 1",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_texts_take_linear_time(piece: str) -> None:
    """Twice the text takes twice the time: four times it does not take more than eight times."""

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        begin = time.process_time()
        for rule in RULES:
            first_step_stands(text, rule)
        return time.process_time() - begin

    size = 5_000
    short = min(seconds(size) for _ in range(2))
    # the least of several: a busy machine makes one of them longer, a square all
    assert any(seconds(4 * size) < 8 * short + 0.05 for _ in range(8))


def test_a_display_reaches_so_far_and_no_further() -> None:
    long = "\\[" + "x\n" * (REACH // 2) + "\\]"
    assert displays(long).spans[0][1] < len(long) and displays(long).open is None
    near = "\\[" + "x\n" * 100 + "\\]"
    assert displays(near) == ([(0, len(near))], None)
    assert displays(near[:-1]).open == 0
    assert not first_step_stands("Now\n" + near[:-2], BLOCK)
    assert first_step_stands("Now we look.\n\n" + near + "\nNo", BLOCK)


@given(text=texts)
def test_the_first_step_of_a_long_text(text: str) -> None:
    long = text + "The rest of it.\n" * 60
    assert first_step(long, BLOCK) == split(long, BLOCK)[0]
