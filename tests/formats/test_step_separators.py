"""The text that a trainer makes of steps is the attempt's, or there is no row."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stepkit.core.training_rows import RowOrigin, StepwiseRow
from stepkit.errors import DataError
from stepkit.formats import trainer_registry
from stepkit.formats.math_shepherd import MARK
from stepkit.formats.row_checker import RowChecker
from stepkit.formats.row_layout import RowLayout
from stepkit.schema import Json

RECORD: Json = {"id": "t/0", "group": "t", "problem": "12 + 20?"}
ORIGIN = RowOrigin("prm", 1, 0, ("t/0",), ())
PROMPT = "12 + 20?\n"

texts = st.text(st.sampled_from("1+ .\n\r"), min_size=1, max_size=24)


@st.composite
def cuts(draw: st.DrawFn) -> list[str]:
    """A text cut at arbitrary places into steps that are not empty."""
    text = draw(texts)
    places = sorted(draw(st.sets(st.integers(1, len(text) - 1)))) if len(text) > 1 else []
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def written(name: str, steps: list[str], **layout: Any) -> Json:
    settled = trainer_registry.settle_layout(name, "stepwise", RowLayout(scope="full", **layout))
    labels = (True,) * len(steps)
    return trainer_registry.write_row(
        name, StepwiseRow(tuple(steps), labels, ORIGIN), RECORD, settled
    )


def refused(name: str, steps: list[str], **layout: Any) -> DataError | None:
    try:
        written(name, steps, **layout)
    except DataError as error:
        return error
    return None


def parted(steps: list[str], separator: str) -> bool:
    """By hand: every cut has the separator to one side, which no other cut has used."""
    used = 0
    for step, after in pairwise(steps):
        rest = step[used:]
        if rest.endswith(separator):
            used = 0
        elif after.startswith(separator):
            used = len(separator)
        else:
            return False
    return True


@given(cuts(), st.sampled_from(["\n", "\n\n", " ", ""]))
@example(["1", "2 + 20"], "\n")
@example(["1\n", "\n1"], "\n")
@example(["1", "\n", "1"], "\n")
@pytest.mark.parametrize("name", ["trl-prm", "axolotl"])
def test_the_trainer_joins_the_steps_to_the_attempt(
    name: str, steps: list[str], separator: str
) -> None:
    try:
        row = written(name, steps, separator=separator)
    except DataError as error:
        blank = "white space" in str(error)
        assert blank or not parted(steps, separator)
        assert blank or "--separator ''" in str(error)
        return
    assert len(row["completions"]) == len(row["labels"]) == len(steps)
    # What PRMTrainer and axolotl do: the separator after each step, the last one too.
    seen = row["prompt"] + "".join(step + separator for step in row["completions"])
    attempt = PROMPT + "".join(steps)
    assert seen in (attempt, attempt + separator)
    assert list(RowChecker(name, separator=separator).row(row)) == []


@given(cuts())
@example(["1", "2 + 20"])
@example(["1\n\n", "2"])
@example(["1", "\n2"])
def test_marks_taken_out_leave_the_attempt(steps: list[str]) -> None:
    lines = all(a.endswith("\n") or b.startswith("\n") for a, b in pairwise(steps))
    blank = any(not step.strip() for step in steps)
    error = refused("math-shepherd", steps)
    assert (error is None) == (lines and not blank)
    if error is None:
        row = written("math-shepherd", steps)
        text = "".join(steps).rstrip("\r\n")
        assert row["input"].replace(f" {MARK}", "") == f"12 + 20? {text}"
        assert row["label"] == row["input"].replace(MARK, "+")
        assert list(RowChecker("math-shepherd").row(row)) == []


@given(cuts())
@example(["1", "2 + 20"])
@example(["1 ", "+ 2"])
def test_turns_have_all_of_the_attempt_but_white_space_around_steps(steps: list[str]) -> None:
    apart = all(a[-1].isspace() or b[0].isspace() for a, b in pairwise(steps))
    blank = any(not step.strip() for step in steps)
    error = refused("rlhflow", steps)
    assert (error is None) == (apart and not blank)
    if error is None:
        turns = written("rlhflow", steps)["conversations"][::2]
        found = " ".join(turn["content"] for turn in turns)
        assert found.split() == ("12 + 20? " + "".join(steps)).split()


@given(cuts())
def test_plain_steps_join_to_the_attempt(steps: list[str]) -> None:
    assert "".join(written("plain", steps)["steps"]) == "".join(steps)


def test_a_number_that_is_cut_in_two_is_no_row_of_lines() -> None:
    """Once "12 + 20" was written as "1" and "2 + 20", and the trainer saw two lines."""
    for name in ("trl-prm", "axolotl"):
        error = refused(name, ["1", "2 + 20"])
        assert error is not None and error.field == "steps[0]"
        assert "in the middle of a line" in str(error) and "--separator ''" in str(error)
    for name in ("math-shepherd", "rlhflow"):
        error = refused(name, ["1", "2 + 20"])
        assert error is not None and "--to plain" in str(error) and error.field == "steps[0]"
    assert written("trl-prm", ["1", "2 + 20"], separator="")["completions"] == ["1", "2 + 20"]


def test_blank_lines_between_steps_stay() -> None:
    """Once all newlines around a step were taken away, and the trainer put one back."""
    steps = ["a\n\n", "b\n", "c"]
    assert written("trl-prm", steps)["completions"] == ["a\n", "b", "c"]
    row = written("math-shepherd", steps)
    assert row["input"] == f"12 + 20? a {MARK}\n\nb {MARK}\nc {MARK}"
    steps = ["a\n\n", "b\n\n", "c"]
    row = written("axolotl", steps, separator="\n\n")
    assert (row["completions"], row["separator"]) == (["a", "b", "c"], "\n\n")


def findings(name: str, row: Json, separator: str = "\n") -> list[str]:
    return [str(error) for error in RowChecker(name, separator=separator).row(row)]


def test_a_separator_that_is_not_the_trainers_is_found() -> None:
    row = written("trl-prm", ["1", "2 + 20"], separator="")
    assert findings("trl-prm", row) == [
        'field "separator": made for a trainer that puts "" after each step, not "\\n": set its '
        "step_separator, and check with --separator"
    ]
    assert findings("trl-prm", row, "") == []


@pytest.mark.parametrize(
    "steps, field, what",
    [
        (["I add. ", "So 5."], "completions[0]", "ends with a space"),
        (["12", " + 20"], "completions[1]", "begins with a space"),
        (["I add.\n", "So 5."], "completions[0]", "ends with a newline"),
    ],
)
def test_cuts_within_a_line_that_show_are_found(steps: list[str], field: str, what: str) -> None:
    row = {"prompt": "2 + 3?\n", "completions": steps, "labels": [True, False]}
    (found,) = findings("trl-prm", row)
    assert field in found and what in found
    assert findings("trl-prm", {**row, "completions": ["if x:", "    y = 5"]}) == []  # indented


def test_a_mark_within_a_line_is_found() -> None:
    row = {"input": f"2? 1 {MARK} 2 + 20 {MARK}", "label": "2? 1 + 2 + 20 -", "task": ""}
    (found,) = findings("math-shepherd", row)
    assert 'field "input": the text after mark 1 goes on in its line' in found
