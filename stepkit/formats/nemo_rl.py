"""NeMo RL: a context and two ranked completions (PreferenceDataset; read at commit 07cd9a1)."""

from __future__ import annotations

from stepkit.core.training_rows import PairRow
from stepkit.errors import DataError
from stepkit.formats import row_layout, row_metadata
from stepkit.formats.row_layout import RowLayout
from stepkit.formats.row_views import TrainerView, context, items, messages
from stepkit.schema import Json


def preference(row: PairRow, record: Json, layout: RowLayout) -> Json:
    """context, and the completions with rank 0, the better, and 1."""
    sides = (row.chosen.text, row.rejected.text)
    before, answers = row_layout.chat(row.prefix, sides, record, layout)
    completions = [
        {"rank": rank, "completion": [row_layout.assistant(text)]}
        for rank, text in enumerate(answers)
    ]
    texts = {"context": before, "completions": completions}
    return texts | row_metadata.pair_metadata(row, record, layout, str(before), *answers)


def ranked(row: Json) -> TrainerView:
    """context, and completions of which the one with the lower rank is the better."""
    completions = items(row, "completions")
    if len(completions) != 2:
        raise DataError(f"{len(completions)} of them: NeMo RL takes exactly two", "completions")
    found = []
    for index, completion in enumerate(completions):
        if not isinstance(completion, dict) or type(completion.get("rank")) is not int:
            raise DataError('expected an object with a whole "rank"', f"completions[{index}]")
        field = f"completions[{index}].completion"
        turns = messages(completion.get("completion"), field)
        if len(turns) != 1 or turns[0][0] != "assistant":
            raise DataError("expected one message of the assistant", field)
        found.append((completion["rank"], (field, turns[0][1])))
    if found[0][0] == found[1][0]:
        raise DataError("both completions have one rank", "completions")
    sides = tuple(side for _, side in sorted(found))
    return TrainerView("pair", context(row["context"], "context"), sides, chat=True)
