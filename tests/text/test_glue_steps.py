"""Steps that say nothing: by hand, on what models write."""

from __future__ import annotations

import pytest

from stepkit.text.glue_steps import is_glue


@pytest.mark.parametrize(
    "step",
    [
        "Let's break down the problem step by step:\n\n",
        "Let\u2019s compute:",
        "Here is the calculation.\n",
        "Now, let's calculate the cost of the apples:\n",
        "According to the problem:\n",
        "**Solution:**\n",
        "Okay, let me think about this.\n",
        "---\n",
        "```\n",
    ],
)
def test_glue(step: str) -> None:
    assert is_glue(step)


@pytest.mark.parametrize(
    "step",
    [
        "So 3 * 4 = 12.\n",  # a formula
        "Let x be the number of apples, so:\n\\[\n",
        "- Each customer buys one DVD.\n",  # few words that say something
        "- Billy doesn't buy any DVDs.\n",
        "No, that is wrong:\n",  # takes back what was said
        "Wait, let me check that again:\n",
        "Let's assume that he pays twice:\n",
        "The train goes west.\n",  # no announcement
        "Let's now go on to find out how many apples he has after that:\n",  # many words
        "Twelve apples:",
    ],
)
def test_a_step_that_says_something_is_none(step: str) -> None:
    assert not is_glue(step)
