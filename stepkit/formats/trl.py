"""TRL: its preference, unpaired and stepwise formats. Read in 1.16.0; PRMTrainer, gone since 1.14,
in 1.13.0.

To strings it adds the end-of-text token and nothing else; of a chat it makes its template's text,
with the header of an answer after the prompt: so a chat's prompt cannot end within an answer.
PRMTrainer takes the tokens of the prompt and of every step apart, puts a separator
(``step_separator``, a newline if not set, and it may be empty) after each step and its label on the
last token of that.
"""

from __future__ import annotations

from stepkit import schema
from stepkit.core.training_rows import PairRow, StepwiseRow, UnpairedRow
from stepkit.errors import DataError
from stepkit.formats import row_layout, row_metadata
from stepkit.formats.row_layout import RowLayout
from stepkit.formats.row_views import TrainerView, context, messages
from stepkit.formats.step_separators import without_separators
from stepkit.schema import Json

MASKED = -100
"""A label that PyTorch's losses leave out."""


def preference(row: PairRow, record: Json, layout: RowLayout) -> Json:
    """prompt, chosen and rejected: strings, or lists of messages in a chat."""
    sides = (row.chosen.text, row.rejected.text)
    if layout.chat:
        before, (chosen, rejected) = row_layout.chat(row.prefix, sides, record, layout)
        turns = {
            "prompt": before,
            "chosen": [row_layout.assistant(chosen)],
            "rejected": [row_layout.assistant(rejected)],
        }
        return turns | row_metadata.pair_metadata(
            row, record, layout, str(before), chosen, rejected
        )
    prompt, (chosen, rejected) = row_layout.texts(row.prefix, sides, record, layout)
    texts = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    return texts | row_metadata.pair_metadata(row, record, layout, prompt, chosen, rejected)


def unpaired(row: UnpairedRow, record: Json, layout: RowLayout) -> Json:
    """prompt, completion and label, true or false."""
    label = {"label": row.desirable}
    if layout.chat:
        before, (text,) = row_layout.chat(row.prefix, [row.side.text], record, layout)
        turns = {"prompt": before, "completion": [row_layout.assistant(text)]}
        return turns | label | row_metadata.side_metadata(row, record, layout, str(before), text)
    prompt, (text,) = row_layout.texts(row.prefix, [row.side.text], record, layout)
    texts = {"prompt": prompt, "completion": text}
    return texts | label | row_metadata.side_metadata(row, record, layout, prompt, text)


def stepwise(row: StepwiseRow, record: Json, layout: RowLayout) -> Json:
    """prompt, completions and labels: 1, 0, or -100 for a step that is not trained on.

    Whole numbers, for the trainer cuts a label with a point to one. The steps are without the
    separator that the trainer puts after each; ``separator`` is the one that it must put there.
    """
    labels = [MASKED if label is None else int(label) for label in hard(row)]
    prompt = row_layout.prompt_text(record, layout)
    steps = without_separators(row.steps, layout.separator)
    texts = {
        "prompt": prompt,
        "completions": steps,
        "labels": labels,
        "separator": layout.separator,
    }
    return texts | row_metadata.attempt_metadata(
        "stepwise", row.origin, record, layout, prompt, *steps
    )


def hard(row: StepwiseRow) -> list[bool | None]:
    """The labels, each right, wrong or masked. Raises DataError at a soft one."""
    found: list[bool | None] = []
    for index, label in enumerate(row.labels):
        if label is not None and label not in (0, 1):
            raise DataError(
                f"{label} is neither right (1) nor wrong (0), and the trainer knows nothing "
                "between: take a hard label, or --to plain",
                f"labels[{index}]",
            )
        found.append(None if label is None else bool(label))
    return found


def implicit(row: Json) -> TrainerView:
    """Preferences without a prompt: chosen and rejected begin alike, and that is the prompt."""
    if isinstance(row["chosen"], list):
        chosen, rejected = (messages(row[key], key) for key in ("chosen", "rejected"))
        if chosen[:-1] != rejected[:-1]:
            raise DataError("no prompt, and chosen and rejected differ before the last message")
        prompt = context(row["chosen"][:-1], "chosen")
        sides = (("chosen", chosen[-1][1]), ("rejected", rejected[-1][1]))
        return TrainerView("pair", prompt, sides, chat=True)
    sides = (("chosen", schema.text(row, "chosen")), ("rejected", schema.text(row, "rejected")))
    return TrainerView("pair", "", sides)
