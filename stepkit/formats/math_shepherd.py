"""Math-Shepherd's rows (Wang et al., arXiv:2312.08935): a mark after every step.

``input`` is the problem and its steps, each on lines of its own with a space and the mark after its
text; ``label`` is the same with + or - in place of each mark. Without the marks the steps are the
attempt, up to newlines at its end. A text that has the mark in it already cannot be written, nor
can steps that share a line.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepkit import schema
from stepkit.core.training_rows import StepwiseRow
from stepkit.errors import DataError
from stepkit.formats import row_layout, row_metadata, trl
from stepkit.formats.row_layout import RowLayout
from stepkit.formats.row_views import TrainerView
from stepkit.formats.step_separators import refuse_blank, refuse_within_line
from stepkit.schema import Json

MARK = "ки"


def stepwise(row: StepwiseRow, record: Json, layout: RowLayout) -> Json:
    """input and label. Masked steps at the end are left out; one before is refused."""
    prompt, labels = row_layout.prompt_text(record, layout).rstrip(), judged(row)
    steps = row.steps[: len(labels)]
    refuse_blank(steps)
    refuse_within_line(steps)
    if any(MARK in text for text in (prompt, *steps)):
        raise DataError(f'"{MARK}" in a text, where it is the mark of a step')
    signs = ["+" if label else "-" for label in labels]
    texts = {
        "input": f"{prompt} {_marked(steps, [MARK] * len(steps))}",
        "label": f"{prompt} {_marked(steps, signs)}",
        "task": schema.optional_text(record, "task") or "",
    }
    return texts | row_metadata.attempt_metadata(
        "stepwise", row.origin, record, layout, prompt, *steps
    )


def _marked(steps: Sequence[str], marks: Sequence[str]) -> str:
    """The steps with a mark after the text of each, before the newlines that end it."""
    found = []
    for step, mark in zip(steps, marks, strict=True):
        text = step.rstrip("\r\n")
        found.append(f"{text} {mark}{step[len(text) :]}")
    return "".join(found).rstrip("\r\n")


def judged(row: StepwiseRow) -> list[bool]:
    """The labels up to the masked ones at the end, for formats that have no mask."""
    labels = trl.hard(row)
    while labels and labels[-1] is None:
        labels.pop()
    if not labels or None in labels:
        raise DataError("a masked step before a labelled one: this format has no mask", "labels")
    return [bool(label) for label in labels]


def marked(row: Json) -> TrainerView:
    """input, and label with + or - in the places of the marks."""
    texts = schema.text(row, "input").split(MARK)
    label = schema.text(row, "label")
    if len(texts) == 1:
        raise DataError(f'no "{MARK}" after a step', "input")
    labels, at = [], 0
    for index, text in enumerate(texts):
        if label[at : at + len(text)] != text:
            raise DataError(f"differs from input before mark {index + 1}", "label")
        at += len(text)
        between = 0 < index < len(texts) - 1
        if between and text.strip() and "\n" not in text[: len(text) - len(text.lstrip())]:
            raise DataError(
                f"the text after mark {index} goes on in its line: a step that was cut within one, "
                "where readers of these rows cut at lines",
                "input",
            )
        if index < len(texts) - 1:
            if label[at : at + 1] not in ("+", "-"):
                raise DataError(f"expected + or - for mark {index + 1}", "label")
            labels.append(label[at] == "+")
            at += 1
    if label[at:] or texts[-1].strip():
        raise DataError("text after the last mark", "input")
    sides = tuple((f"step {index}", text) for index, text in enumerate(texts[:-1]))
    return TrainerView("stepwise", "", sides, tuple(labels))
