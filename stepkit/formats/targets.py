"""The trainers that step-pairs knows: a table row each, and what each would silently spoil.

What the table says was read in the trainers' own loading code, in the versions that their modules
here name; tests/interop runs that code on our rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from stepkit.core.training_rows import Advantage, Pair, Ranked, Stepwise, Text, Unpaired, Weighted
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
from stepkit.formats.row_layout import Layout
from stepkit.formats.row_views import Json, Shape

Row = Pair | Ranked | Unpaired | Stepwise | Weighted | Text | Advantage
Writer = Callable[[Any, Json, Layout], Json]

KINDS: dict[str, type] = {
    "pair": Pair,
    "ranked": Ranked,
    "unpaired": Unpaired,
    "stepwise": Stepwise,
    "weighted": Weighted,
    "text": Text,
    "advantage": Advantage,
}
"""The kinds of rows by the names that people know them by."""

CHATS = {"pair", "unpaired", "text"}
"""Kinds that are messages where the trainer leaves the choice."""


class Target(NamedTuple):
    """One trainer.

    Attributes:
        about: what reads the rows, in a line.
        rows: what writes each kind of row that it takes.
        shapes: the rows that it reads, the one with the most telling columns first.
        reserved: other columns to which it gives a meaning of its own, and what it does with them.
        chat: its rows are messages for its own template: True always, False never, None as wanted.
        ends: it puts an end-of-text token after every text, so that a text must be whole.
        only_chats: kinds that are messages whatever ``chat`` says.
    """

    about: str
    rows: dict[type, Writer]
    shapes: tuple[Shape, ...]
    reserved: dict[str, str]
    chat: bool | None = None
    ends: bool = True
    only_chats: frozenset[type] = frozenset()


PREFERENCE = Shape(("prompt", "chosen", "rejected"), row_views.preference)
UNPAIRED = Shape(("prompt", "completion", "label"), row_views.unpaired)
STEPWISE = Shape(("prompt", "completions", "labels"), row_views.stepwise)
CONVERSATION = Shape(("messages",), row_views.conversation)
IMPLICIT = Shape(("chosen", "rejected"), trl.implicit)

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
    "trl-dpo": Target(
        "TRL: DPO and the like", {Pair: trl.preference}, (PREFERENCE, IMPLICIT), DPO_LIVE
    ),
    "trl-kto": Target("TRL: KTO", {Unpaired: trl.unpaired}, (UNPAIRED,), KTO_LIVE),
    "trl-prm": Target(
        "TRL: process reward models (to 1.13)",
        {Stepwise: trl.stepwise},
        (STEPWISE,),
        {"input_ids": TOKENS},
        chat=False,
        ends=False,
    ),
    "trl-reward": Target(
        "TRL: reward models", {Pair: trl.preference}, (PREFERENCE, IMPLICIT), REWARD_LIVE
    ),
    "llamafactory": Target(
        "LLaMA-Factory",
        {
            Pair: llamafactory.preference,
            Unpaired: llamafactory.unpaired,
            Text: llamafactory.supervised,
        },
        (
            Shape(("conversations",), llamafactory.share_gpt),
            Shape(("instruction",), llamafactory.alpaca),
        ),
        {},
        chat=True,
    ),
    "openrlhf": Target(
        "OpenRLHF",
        {Pair: trl.preference, Text: openrlhf.supervised},
        (PREFERENCE, Shape(("input", "output"), openrlhf.prompt_response)),
        {"margin": "makes it part of the loss"},
    ),
    "axolotl": Target(
        "axolotl",
        {
            Pair: axolotl.preference,
            Unpaired: trl.unpaired,
            Stepwise: trl.stepwise,
            Text: axolotl.supervised,
        },
        (
            Shape(("messages", "chosen", "rejected"), axolotl.chat_pair),
            PREFERENCE,
            UNPAIRED,
            STEPWISE,
            CONVERSATION,
        ),
        {},
        only_chats=frozenset({Text}),
    ),
    "ms-swift": Target(
        "ms-swift",
        {
            Pair: ms_swift.preference,
            Unpaired: ms_swift.feedback,
            Weighted: ms_swift.steps,
            Text: axolotl.supervised,
        },
        (
            Shape(("messages", "rejected_response"), ms_swift.pair),
            Shape(("messages", "label"), ms_swift.unpaired),
            Shape(("messages",), ms_swift.weighted),
        ),
        {"margin": "makes it part of the loss", "channel": "counts the loss apart by it"},
        chat=True,
    ),
    "nemo-rl": Target(
        "NeMo RL",
        {Pair: nemo_rl.preference},
        (Shape(("context", "completions"), nemo_rl.ranked),),
        {},
        chat=True,
    ),
    "verl": Target(
        "verl (Parquet beside the file)",
        {Pair: verl.preference, Text: verl.supervised},
        (PREFERENCE, CONVERSATION),
        {},
        chat=False,
        only_chats=frozenset({Text}),
    ),
    "math-shepherd": Target(
        "Math-Shepherd's rows",
        {Stepwise: math_shepherd.stepwise},
        (Shape(("input", "label"), math_shepherd.marked),),
        {},
        chat=False,
        ends=False,
    ),
    "rlhflow": Target(
        "RLHFlow's process reward rows",
        {Stepwise: rlhflow.stepwise},
        (Shape(("conversations",), rlhflow.plus_minus),),
        {},
        chat=False,
        ends=False,
    ),
    "plain": Target(
        "no trainer: all there is, for a program of your own",
        {
            Pair: trl.preference,
            Ranked: plain.ranked,
            Unpaired: trl.unpaired,
            Stepwise: plain.stepwise,
            Weighted: plain.weighted,
            Text: plain.text,
            Advantage: plain.advantage,
        },
        (
            PREFERENCE,
            UNPAIRED,
            Shape(("prompt", "completions"), plain.several),
            Shape(("prompt", "steps"), plain.several),
            Shape(("prompt", "completion"), plain.single),
        ),
        {},
        ends=False,
    ),
}
"""Targets by name, the default first."""


def settle(name: str, kind: str, layout: Layout) -> Layout:
    """The layout that the target ``name`` needs for rows of ``kind``.

    Raises UsageError when it does not take the kind, or when its trainer would silently spoil what
    the layout makes.
    """
    target = TARGETS[name]
    if KINDS[kind] not in target.rows:
        takers = [other for other, one in TARGETS.items() if KINDS[kind] in one.rows]
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
    if name in ("trl-prm", "axolotl") and kind == "stepwise" and not layout.prompt[-1:].isspace():
        raise UsageError(
            f"--to {name} puts nothing between prompt and first step; end --prompt with \\n"
        )
    return layout


def write(name: str, row: Row, record: Json, layout: Layout) -> Json:
    """One row for the target ``name``. Raises DataError for texts that its trainer would spoil."""
    target = TARGETS[name]
    if target.ends and not ended(row):
        raise DataError(f"the attempt was cut off, and {name} puts an end-of-text token after it")
    return target.rows[type(row)](row, record, layout)


def ended(row: Row) -> bool:
    """True when every text of the row came to its own end."""
    if isinstance(row, Pair):
        return row.chosen.ended and row.rejected.ended
    if isinstance(row, Ranked):
        return all(side.ended for side in row.sides)
    if isinstance(row, (Unpaired, Text)):
        return row.side.ended
    return row.ended if isinstance(row, Weighted) else True
