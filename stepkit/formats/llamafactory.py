"""LLaMA-Factory: chats of {from, value}, and the dataset_info.json without which none is found.

Read in 0.9.5. It drops a row whose turns do not alternate, or that ends with the wrong one, with no
more than a warning, and takes nothing but true and false for a kto_tag. The prompt of a pair must
end with the human's turn, so only whole answers (scope full) can be compared.
"""

from __future__ import annotations

from stepkit import schema
from stepkit.core.training_rows import PairRow, TextRow, UnpairedRow
from stepkit.errors import DataError
from stepkit.formats import row_layout, row_metadata
from stepkit.formats.row_layout import RowLayout
from stepkit.formats.row_views import TrainerView, flag, joined, messages
from stepkit.schema import Json

HUMAN = ("human", "observation")
TAGS = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


def preference(row: PairRow, record: Json, layout: RowLayout) -> Json:
    """conversations, and chosen and rejected as one message each."""
    sides = (row.chosen.text, row.rejected.text)
    before, (chosen, rejected) = row_layout.chat(row.prefix, sides, record, layout)
    texts = {"conversations": _turns(before), "chosen": _gpt(chosen), "rejected": _gpt(rejected)}
    return texts | row_metadata.pair_metadata(row, record, layout, str(before), chosen, rejected)


def unpaired(row: UnpairedRow, record: Json, layout: RowLayout) -> Json:
    """conversations and kto_tag, true or false."""
    before, (text,) = row_layout.chat(row.prefix, [row.side.text], record, layout)
    texts = {"conversations": [*_turns(before), _gpt(text)], "kto_tag": row.desirable}
    return texts | row_metadata.side_metadata(row, record, layout, str(before), text)


def supervised(row: TextRow, record: Json, layout: RowLayout) -> Json:
    """conversations alone."""
    before, (text,) = row_layout.chat(row.prefix, [row.side.text], record, layout)
    texts = {"conversations": [*_turns(before), _gpt(text)]}
    return texts | row_metadata.attempt_metadata(
        "text", row.origin, record, layout, str(before), text
    )


def _turns(before: list[Json]) -> list[Json]:
    for index, message in enumerate(before):
        if message["role"] not in TAGS:
            raise DataError("LLaMA-Factory has no such role", f"prompt[{index}].role")
    return [{"from": TAGS[message["role"]], "value": message["content"]} for message in before]


def _gpt(text: str) -> Json:
    return {"from": "gpt", "value": text}


def share_gpt(row: Json) -> TrainerView:
    """conversations, and chosen and rejected, or a kto_tag, or neither."""
    turns = messages(row["conversations"], "conversations", "from", "value")
    ranked = "chosen" in row or "rejected" in row
    spoken = turns[1:] if turns[0][0] == "system" else turns
    for index, (role, _) in enumerate(spoken, len(turns) - len(spoken)):
        if (role in HUMAN) == bool((index - len(turns) + len(spoken)) % 2):
            raise DataError(
                f'"{role}" out of turn: human and gpt alternate, or the row is dropped',
                f"conversations[{index}]",
            )
    if (turns[-1][0] in HUMAN) != ranked:
        whose = "the human's" if ranked else "gpt's"
        raise DataError(f"must end with {whose} turn, or the row is dropped", "conversations")
    if ranked:
        sides = tuple(
            (key, messages([row.get(key)], key, "from", "value")[0][1])
            for key in ("chosen", "rejected")
        )
        return TrainerView("pair", joined(turns), sides, chat=True)
    side = (f"conversations[{len(turns) - 1}].value", turns[-1][1])
    return _labelled(row, joined(turns[:-1]), side)


def alpaca(row: Json) -> TrainerView:
    """instruction and input, and chosen and rejected, or output with or without a kto_tag."""
    prompt = "\n".join(schema.text(row, key) for key in ("instruction", "input") if row.get(key))
    if "chosen" in row:
        sides = tuple((key, schema.text(row, key)) for key in ("chosen", "rejected"))
        return TrainerView("pair", prompt, sides, chat=True)
    return _labelled(row, prompt, ("output", schema.text(row, "output")))


def dataset_info(file: str, kind: str, known: Json) -> Json:
    """The entries of dataset_info.json with the one for ``file``, named by its stem.

    Args:
        file: the name of the file of rows, in the directory of dataset_info.json.
        kind: "pair", "unpaired" or "text".
        known: the entries that are there.
    """
    columns = {"messages": "conversations"}
    if kind == "pair":
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    if kind == "unpaired":
        columns["kto_tag"] = "kto_tag"
    entry = {"file_name": file, "formatting": "sharegpt", "ranking": kind == "pair"}
    return known | {file.partition(".")[0]: entry | {"columns": columns}}


def _labelled(row: Json, prompt: str, side: tuple[str, str]) -> TrainerView:
    labels = (flag(row, "kto_tag"),) if "kto_tag" in row else ()
    return TrainerView("unpaired" if labels else "text", prompt, (side,), labels, True)
