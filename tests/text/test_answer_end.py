"""When a growing text has its answer: by hand, and against what is found in the whole text."""

from __future__ import annotations

import re

import pytest

from stepkit.text.answer_end import AnswerEnd, answer_is_complete
from stepkit.text.answers import extract
from stepkit.text.protected_parts import opens_thinking

COMPLETE = {
    "a closed box and another word": r"So $\boxed{18}$ d",
    "a closed box and a full stop": r"So \(\boxed{18}\).",
    "a closed box whose line ended": "\\[\\boxed{18}\n",
    "boxes that are one answer": "\\boxed{3} and \\boxed{4}, too\n",
    "a line of hashes": "9 * 2 = 18\n#### 18\n",
    "a line that says answer": "9 * 2 = 18\nAnswer: $18\n",
    "an answer in bold": "**Answer:** 18\n",
    "a heading and its line": "### Answer\n18\n",
    "a closed tag": "<answer>18</answer>",
    "the end of a turn": "The answer is 18.<|im_end|>",
    "another question": "The answer is 18.\n\nQ: How",
    "a box after the thinking": r"<think>\boxed{3} no</think> It is \boxed{4}.",
}
GROWING = {
    "nothing yet": "9 * 2 = 18",
    "an open box": r"So \boxed{1",
    "a box at the very end": r"So \boxed{18}",
    "a box that a percent sign may follow": r"So $\boxed{18}\%",
    "a box that another may join": r"So $\boxed{3}$ and",
    "a box and a letter of and": r"\boxed{3} a",
    "hashes whose line goes on": "#### 18",
    "a heading of hashes": "#### Step 1: the eggs\n",
    "a phrase in a sentence": "So the answer is 18. Then",
    "the first question": "Question: how many?\n",
    "an open tag": "<answer>18",
    "a box in the thinking": r"<think>It is \boxed{3}. No",
    "a closing sentence": "Therefore, he has 12 apples.\n",
}


@pytest.mark.parametrize("text", COMPLETE.values(), ids=COMPLETE)
def test_complete(text: str) -> None:
    assert answer_is_complete(text)


@pytest.mark.parametrize("text", GROWING.values(), ids=GROWING)
def test_not_complete(text: str) -> None:
    assert not answer_is_complete(text)


@pytest.mark.parametrize("text", COMPLETE.values(), ids=COMPLETE)
def test_more_text_does_not_change_the_answer(text: str) -> None:
    answer = extract(text)
    assert answer is not None
    for more in (" dollars every day.", "\n\nI hope this helps.", "\n\nQ: What is 2 + 2?\nA: 4\n"):
        assert extract(text + more) == answer


@pytest.mark.parametrize("text", [*COMPLETE.values(), *GROWING.values()])
def test_called_after_every_character_it_agrees_with_the_whole(text: str) -> None:
    end = AnswerEnd()
    first = next((n for n in range(1, len(text) + 1) if end(text[:n])), None)
    exact = next((n for n in range(1, len(text) + 1) if answer_is_complete(text[:n])), None)
    assert first == exact


def test_an_answer_of_the_prefix_does_not_end_what_follows_it() -> None:
    before = "So the first part is \\boxed{230}, in all.\n"
    end = AnswerEnd(before)
    assert not end("The second part is")
    assert not end("The second part is \\boxed{460}")
    assert end("The second part is \\boxed{460}.")


def test_another_text_starts_anew() -> None:
    end = AnswerEnd()
    assert end("It is \\boxed{4}. ")
    assert not end("It is")
    assert end("It is \\boxed{5}. ")


def test_thinking_that_the_prompt_opened_is_no_answer() -> None:
    assert opens_thinking("<|assistant|><think>\n")
    assert not opens_thinking("Think between <think> and </think>.\n")
    assert not opens_thinking("Begin with <think>, please.\n")
    end = AnswerEnd("<think>")
    assert not end("Is it \\boxed{3}? No.\n")
    assert end("Is it \\boxed{3}? No.\n</think>\\boxed{4}.")


def test_marks_are_found_wherever_a_token_ends() -> None:
    text = "a" * 200 + "\n#### 18\nThe rest"
    for size in range(1, 30):
        end = AnswerEnd()
        cuts = [*range(0, len(text), size), len(text)]
        found = next(text[:cut] for cut in cuts if end(text[:cut]))
        assert re.match(r"a+\n#### 18\n", found)
