"""Endings from the turns of a thinking trace, and what they say together."""

from __future__ import annotations

from math import log2
from typing import Any

import pytest
from worlds import ByteSampler, Given, WorldEngine, run

from stepkit.errors import DataError
from stepkit.search.method_setup import MethodSetup
from stepkit.search.methods.subthought import start
from stepkit.text.segment import split

TEXT = "So a.\nHmm, b.\nWait, c.\nAnswer: 2"
CUES = {"by": "cue"}
AFTER = {
    "So a.\n": "Answer: 1",
    "So a.\nHmm, b.\n": "Answer: 1.0",
    "So a.\nHmm, b.\nWait, c.\n": "x",
}


def ended(answers: dict[str, str], **changes: Any) -> tuple[dict[str, Any], WorldEngine]:
    world = Given({text: {answer: "1"} for text, answer in answers.items()})
    record = {
        **world.record(),
        "response": TEXT,
        "steps": split(TEXT, CUES),
        "split": CUES,
        **changes,
    }
    engine = WorldEngine(world)
    setup = MethodSetup(ByteSampler(), {"draws": 1})  # type: ignore[arg-type]
    return run(start(setup, record), engine), engine


def test_one_ending_from_every_turn_but_the_last() -> None:
    """From the first two turns 1 is reached, the trace itself has 2: two to one."""
    fields, engine = ended(AFTER)
    assert split(TEXT, CUES) == ["So a.\n", "Hmm, b.\n", "Wait, c.\nAnswer: 2"]
    assert len(engine.seen) == 2
    label = fields["labels"]["subthought"]
    assert label["meta"] == {
        "mode": "1",
        "correct": True,
        "entropy": pytest.approx(-(2 / 3 * log2(2 / 3) + 1 / 3 * log2(1 / 3))),
        "answers": {"1": 2, "2": 1},
    }
    assert label["x"] == [1.0, 1.0, 0.0] and label["total"] == pytest.approx(2 / 3)
    assert (label["of"], label["by"]) == ("raw", "sampler")
    assert (fields["final"], fields["correct"]) == ("2", False)


def test_endings_that_agree_have_no_entropy() -> None:
    fields, _ = ended(dict.fromkeys(AFTER, "Answer: 2"), labels={"gold": {"first": -1}})
    assert fields["labels"]["gold"] == {"first": -1}
    assert fields["labels"]["subthought"]["meta"]["entropy"] == 0.0
    assert fields["labels"]["subthought"]["meta"]["correct"] is False


def test_an_ending_without_an_answer_is_in_no_count() -> None:
    fields, _ = ended({**AFTER, "So a.\n": "No idea."})
    label = fields["labels"]["subthought"]
    assert label["x"] == [None, 1.0, 0.0]  # of equal numbers the answer reached first
    assert label["meta"]["answers"] == {"1.0": 1, "2": 1} and label["meta"]["entropy"] == 1.0


def test_the_trace_must_be_cut_at_cue_words() -> None:
    with pytest.raises(DataError, match="step-split --by cue"):
        ended(AFTER, split={"by": "lines"})
    with pytest.raises(DataError, match="no trace"):
        ended(AFTER, response=None, steps=[])
