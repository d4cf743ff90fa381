"""RLHFlow's process reward rows (RLHF-Reward-Modeling/math-rm): a chat in which every user turn is
a step, the first with the problem before it, and every answer of the assistant + or -.

White space around a step is not part of its turn, so it must be there: two steps cannot share a
word.
"""

from __future__ import annotations

from stepkit.core.training_rows import StepwiseRow
from stepkit.errors import DataError
from stepkit.formats import row_layout, row_metadata
from stepkit.formats.math_shepherd import judged
from stepkit.formats.row_layout import RowLayout
from stepkit.formats.row_views import TrainerView, messages
from stepkit.formats.step_separators import refuse_blank, refuse_within_word
from stepkit.schema import Json


def stepwise(row: StepwiseRow, record: Json, layout: RowLayout) -> Json:
    """conversations. Masked steps at the end are left out; one before is refused."""
    prompt, labels = row_layout.prompt_text(record, layout).rstrip(), judged(row)
    refuse_blank(row.steps[: len(labels)])
    refuse_within_word(row.steps[: len(labels)])
    steps = [step.strip() for step in row.steps[: len(labels)]]
    turns = []
    for index, (step, label) in enumerate(zip(steps, labels, strict=True)):
        text = step if index else f"{prompt} {step}"
        turns += [{"role": "user", "content": text}, row_layout.assistant("+" if label else "-")]
    texts = {"conversations": turns}
    return texts | row_metadata.attempt_metadata(
        "stepwise", row.origin, record, layout, prompt, *steps
    )


def plus_minus(row: Json) -> TrainerView:
    """conversations of steps and verdicts."""
    turns = messages(row["conversations"], "conversations")
    sides, labels = [], []
    for index, (role, content) in enumerate(turns):
        field = f"conversations[{index}]"
        if role != ("user", "assistant")[index % 2]:
            raise DataError(f'"{role}" out of turn: user and assistant alternate', field)
        if index % 2 == 0:
            sides.append((field, content))
        elif content in ("+", "-"):
            labels.append(content == "+")
        else:
            raise DataError("expected + or -", field)
    return TrainerView("stepwise", "", tuple(sides), tuple(labels), True)
