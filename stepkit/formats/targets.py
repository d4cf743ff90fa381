"""The trainers that step-pairs knows: a table row each, and what each would silently spoil.

What the table says was read in the trainers' own loading code, in the versions that their modules
here name; tests/interop runs that code on our rows.
"""

from __future__ import annotations

from typing import NamedTuple

from stepkit.formats import (
    axolotl,
    llamafactory,
    math_shepherd,
    ms_swift,
    nemo_rl,
    openrlhf,
    rlhflow,
    trl,
    views,
)
from stepkit.formats.views import Shape


class Target(NamedTuple):
    """One trainer.

    Attributes:
        about: what reads the rows, in a line.
        shapes: the rows that it reads, the one with the most telling columns first.
        reserved: other columns to which it gives a meaning of its own, and what it does with them.
        ends: it puts an end-of-text token after every text, so that a text must be whole.
    """

    about: str
    shapes: tuple[Shape, ...]
    reserved: dict[str, str]
    ends: bool = True


PREFERENCE = Shape(("prompt", "chosen", "rejected"), views.preference)
UNPAIRED = Shape(("prompt", "completion", "label"), views.unpaired)
STEPWISE = Shape(("prompt", "completions", "labels"), views.stepwise)
CONVERSATION = Shape(("messages",), views.conversation)

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
        "TRL: DPO and the like",
        (PREFERENCE, Shape(("chosen", "rejected"), trl.implicit)),
        DPO_LIVE,
    ),
    "trl-kto": Target("TRL: KTO", (UNPAIRED,), KTO_LIVE),
    "trl-prm": Target(
        "TRL: PRMTrainer (to 1.13)",
        (STEPWISE,),
        {"input_ids": TOKENS},
        ends=False,
    ),
    "trl-reward": Target(
        "TRL: reward models",
        (PREFERENCE, Shape(("chosen", "rejected"), trl.implicit)),
        REWARD_LIVE,
    ),
    "llamafactory": Target(
        "LLaMA-Factory",
        (
            Shape(("conversations",), llamafactory.share_gpt),
            Shape(("instruction",), llamafactory.alpaca),
        ),
        {},
    ),
    "openrlhf": Target(
        "OpenRLHF",
        (PREFERENCE, Shape(("input", "output"), openrlhf.prompt_response)),
        {"margin": "makes it part of the loss"},
    ),
    "axolotl": Target(
        "axolotl",
        (
            Shape(("messages", "chosen", "rejected"), axolotl.chat_pair),
            PREFERENCE,
            UNPAIRED,
            STEPWISE,
            CONVERSATION,
        ),
        {},
    ),
    "ms-swift": Target(
        "ms-swift",
        (
            Shape(("messages", "rejected_response"), ms_swift.pair),
            Shape(("messages", "label"), ms_swift.unpaired),
            Shape(("messages",), ms_swift.weighted),
        ),
        {"margin": "makes it part of the loss", "channel": "counts the loss apart by it"},
    ),
    "nemo-rl": Target("NeMo RL", (Shape(("context", "completions"), nemo_rl.ranked),), {}),
    "verl": Target("verl", (PREFERENCE, CONVERSATION), {}),
    "math-shepherd": Target(
        "Math-Shepherd's rows", (Shape(("input", "label"), math_shepherd.marked),), {}, ends=False
    ),
    "rlhflow": Target(
        "RLHFlow's rows", (Shape(("conversations",), rlhflow.plus_minus),), {}, ends=False
    ),
    "plain": Target(
        "no trainer: all there is, for a program of your own",
        (PREFERENCE, UNPAIRED, STEPWISE),
        {},
        ends=False,
    ),
}
"""Targets by name, the default first."""
