"""The trainers that step-pairs knows, a table row each, and the rows that each would spoil.

The table follows the trainers' own loading code, in the versions that their modules here name;
tests/interop runs that code on our rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from stepkit.core.training_rows import (
    AdvantageRow,
    PairRow,
    RankedRow,
    StepwiseRow,
    TextRow,
    UnpairedRow,
    WeightedRow,
)
from stepkit.errors import DataError, UsageError
from stepkit.formats import (
    axolotl,
    llamafactory,
    math_shepherd,
    ms_swift,
    nemo_rl,
    openrlhf,
    plain,
    rlhflow,
    row_views,
    trl,
    verl,
)
from stepkit.formats.row_layout import RowLayout
from stepkit.formats.row_views import RowShape
from stepkit.schema import Json

Row = PairRow | RankedRow | UnpairedRow | StepwiseRow | WeightedRow | TextRow | AdvantageRow
Writer = Callable[[Any, Json, RowLayout], Json]

DATASET_INFO = "dataset_info.json"
PARQUET = "parquet"
"""Files that a trainer needs next to the rows: a list of the files of their directory, which is
llamafactory.dataset_info, and the rows once more as Parquet."""

KINDS: dict[str, type] = {
    "pair": PairRow,
    "ranked": RankedRow,
    "unpaired": UnpairedRow,
    "stepwise": StepwiseRow,
    "weighted": WeightedRow,
    "text": TextRow,
    "advantage": AdvantageRow,
}
"""The kinds of rows, by the names that users know."""

CHATS = {"pair", "unpaired", "text"}
"""Kinds that are messages where the trainer leaves the choice."""


class TrainerFormat(NamedTuple):
    """One trainer.

    Attributes:
        about: the program that reads the rows, in a line.
        rows: the writer of each kind of row that it takes.
        shapes: the shapes of row that it reads; a row has the first shape whose columns it has.
        reserved: other columns that it reads, each with what it does with it.
        chat: its rows are messages for its own template: True always, False never, None by choice.
        ends: it puts an end-of-text token after every text, so that a text must be whole.
        only_chats: kinds that are messages whatever ``chat`` is.
        joins_first_step: it puts nothing between the prompt and the first of several steps, so
            that the prompt must end with white space.
        side_file: the file that it needs next to the rows, DATASET_INFO or PARQUET.
    """

    about: str
    rows: dict[type, Writer]
    shapes: tuple[RowShape, ...]
    reserved: dict[str, str]
    chat: bool | None = None
    ends: bool = True
    only_chats: frozenset[type] = frozenset()
    joins_first_step: bool = False
    side_file: str | None = None


PREFERENCE = RowShape(("prompt", "chosen", "rejected"), row_views.preference)
UNPAIRED = RowShape(("prompt", "completion", "label"), row_views.unpaired)
STEPWISE = RowShape(("prompt", "completions", "labels"), row_views.stepwise)
CONVERSATION = RowShape(("messages",), row_views.conversation)
IMPLICIT = RowShape(("chosen", "rejected"), trl.implicit)

TOKENS = "takes the row for tokens and does not look at the texts"
OTHER_TEXT = "may take it for the text"
REFERENCE = "takes it for the reference model's result"

DPO_LIVE = {
    "completion": OTHER_TEXT,
    "messages": OTHER_TEXT,
    "ref_chosen_logps": REFERENCE,
    "ref_rejected_logps": REFERENCE,
}
KTO_LIVE = {
    "chosen": "takes the row for a pair",
    "rejected": "takes the row for a pair",
    "messages": OTHER_TEXT,
    "ref_logps": REFERENCE,
    "ref_KL_logps": REFERENCE,
}
REWARD_LIVE = {
    "completion": OTHER_TEXT,
    "messages": OTHER_TEXT,
    "margin": "makes it part of the loss",
    "chosen_ids": TOKENS,
    "rejected_ids": TOKENS,
    "chosen_input_ids": TOKENS,
    "rejected_input_ids": TOKENS,
}

TARGETS = {
    "trl-dpo": TrainerFormat(
        "TRL: DPO and the like", {PairRow: trl.preference}, (PREFERENCE, IMPLICIT), DPO_LIVE
    ),
    "trl-kto": TrainerFormat("TRL: KTO", {UnpairedRow: trl.unpaired}, (UNPAIRED,), KTO_LIVE),
    "trl-prm": TrainerFormat(
        "TRL: process reward models (to 1.13)",
        {StepwiseRow: trl.stepwise},
        (STEPWISE,),
        {"input_ids": TOKENS},
        chat=False,
        ends=False,
        joins_first_step=True,
    ),
    "trl-reward": TrainerFormat(
        "TRL: reward models", {PairRow: trl.preference}, (PREFERENCE, IMPLICIT), REWARD_LIVE
    ),
    "llamafactory": TrainerFormat(
        "LLaMA-Factory",
        {
            PairRow: llamafactory.preference,
            UnpairedRow: llamafactory.unpaired,
            TextRow: llamafactory.supervised,
        },
        (
            RowShape(("conversations",), llamafactory.share_gpt),
            RowShape(("instruction",), llamafactory.alpaca),
        ),
        {},
        chat=True,
        side_file=DATASET_INFO,
    ),
    "openrlhf": TrainerFormat(
        "OpenRLHF",
        {PairRow: trl.preference, TextRow: openrlhf.supervised},
        (PREFERENCE, RowShape(("input", "output"), openrlhf.prompt_response)),
        {"margin": "makes it part of the loss"},
    ),
    "axolotl": TrainerFormat(
        "axolotl",
        {
            PairRow: axolotl.preference,
            UnpairedRow: trl.unpaired,
            StepwiseRow: trl.stepwise,
            TextRow: axolotl.supervised,
        },
        (
            RowShape(("messages", "chosen", "rejected"), axolotl.chat_pair),
            PREFERENCE,
            UNPAIRED,
            STEPWISE,
            CONVERSATION,
        ),
        {},
        only_chats=frozenset({TextRow}),
        joins_first_step=True,
    ),
    "ms-swift": TrainerFormat(
        "ms-swift",
        {
            PairRow: ms_swift.preference,
            UnpairedRow: ms_swift.feedback,
            WeightedRow: ms_swift.steps,
            TextRow: axolotl.supervised,
        },
        (
            RowShape(("messages", "rejected_response"), ms_swift.pair),
            RowShape(("messages", "label"), ms_swift.unpaired),
            RowShape(("messages",), ms_swift.weighted),
        ),
        {"margin": "makes it part of the loss", "channel": "counts the loss apart by it"},
        chat=True,
    ),
    "nemo-rl": TrainerFormat(
        "NeMo RL",
        {PairRow: nemo_rl.preference},
        (RowShape(("context", "completions"), nemo_rl.ranked),),
        {},
        chat=True,
    ),
    "verl": TrainerFormat(
        "verl (with a Parquet file)",
        {PairRow: verl.preference, TextRow: verl.supervised},
        (PREFERENCE, CONVERSATION),
        {},
        chat=False,
        only_chats=frozenset({TextRow}),
        side_file=PARQUET,
    ),
    "math-shepherd": TrainerFormat(
        "Math-Shepherd's rows",
        {StepwiseRow: math_shepherd.stepwise},
        (RowShape(("input", "label"), math_shepherd.marked),),
        {},
        chat=False,
        ends=False,
    ),
    "rlhflow": TrainerFormat(
        "RLHFlow's process reward rows",
        {StepwiseRow: rlhflow.stepwise},
        (RowShape(("conversations",), rlhflow.plus_minus),),
        {},
        chat=False,
        ends=False,
    ),
    "plain": TrainerFormat(
        "no trainer: all there is, for a program of your own",
        {
            PairRow: plain.preference,
            RankedRow: plain.ranked,
            UnpairedRow: trl.unpaired,
            StepwiseRow: plain.stepwise,
            WeightedRow: plain.weighted,
            TextRow: plain.text,
            AdvantageRow: plain.advantage,
        },
        (
            PREFERENCE,
            UNPAIRED,
            RowShape(("prompt", "completions"), plain.several),
            RowShape(("prompt", "steps"), plain.several),
            RowShape(("prompt", "completion"), plain.single),
        ),
        {},
        ends=False,
    ),
}
"""Targets by name, the default first."""


def first_kind(name: str) -> str:
    """The name of the kind of rows that the target ``name`` is mostly used for: its first."""
    first = next(iter(TARGETS[name].rows))
    return next(kind for kind, row in KINDS.items() if row is first)


def settle_layout(name: str, kind: str, layout: RowLayout) -> RowLayout:
    """The layout that the target ``name`` needs for rows of ``kind``.

    Raises UsageError when it does not take the kind, or when its trainer would silently spoil what
    the layout makes.
    """
    target = TARGETS[name]
    if KINDS[kind] not in target.rows:
        takers = [other for other, row in TARGETS.items() if KINDS[kind] in row.rows]
        raise UsageError(f"--to {name} takes no {kind} rows; those that do: {', '.join(takers)}")
    compared = kind in ("pair", "ranked", "unpaired")
    always = target.chat or KINDS[kind] in target.only_chats
    if layout.chat and not always and (target.chat is False or kind not in CHATS):
        raise UsageError(f"--conversational: --to {name} has no chats of {kind} rows")
    layout = layout._replace(chat=always or layout.chat)
    if compared and target.ends and layout.scope == "step":
        raise UsageError(
            f"--to {name} puts an end-of-text token after every text and would teach the model to "
            "stop after a step; use --scope continuation or full, or --to plain"
        )
    if compared and layout.chat and layout.scope != "full":
        raise UsageError(
            f"--to {name} opens the answer of a chat after the prompt, so the steps before cannot "
            "be part of it; use --scope full"
        )
    spaced = layout.prompt[-1:].isspace()
    if kind == "stepwise" and target.joins_first_step and not spaced:
        raise UsageError(
            f"--to {name} puts nothing between prompt and first step; end --prompt with \\n"
        )
    return layout


def write_row(name: str, row: Row, record: Json, layout: RowLayout) -> Json:
    """One row for the target ``name``. Raises DataError for texts that its trainer would spoil."""
    target = TARGETS[name]
    if target.ends and not ended(row):
        raise DataError(f"the attempt was cut off, and {name} puts an end-of-text token after it")
    return target.rows[type(row)](row, record, layout)


def ended(row: Row) -> bool:
    """True when every text of the row came to its own end."""
    if isinstance(row, PairRow):
        return row.chosen.ended and row.rejected.ended
    if isinstance(row, RankedRow):
        return all(side.ended for side in row.sides)
    if isinstance(row, (UnpairedRow, TextRow)):
        return row.side.ended
    return row.ended if isinstance(row, WeightedRow) else True
