"""From options to an engine: the one place that puts model, context, lock and prompt together."""

from __future__ import annotations

from dataclasses import asdict
from typing import Protocol

from stepkit.model.chat import Encoder, Prompter
from stepkit.model.llama import Context, Layout, Model, choose_layout
from stepkit.model.slots import SlotEngine
from stepkit.model.turns import NoTurns, Turns

CHAT_TEMPLATE = "tokenizer.chat_template"


class Options(Protocol):
    """The shared model options (see options.ModelOptions)."""

    @property
    def gpu_layers(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def slots(self) -> int | None: ...
    @property
    def context(self) -> int | None: ...
    @property
    def batch(self) -> int | None: ...


def layout_for(model: Model, options: Options, max_tokens: int) -> Layout:
    """Sizes of the context for these options. Raises UsageError when they cannot be met."""
    return choose_layout(
        model,
        slots=options.slots,
        context=options.context,
        batch=options.batch,
        threads=options.threads,
        max_tokens=max_tokens,
    )


def open_engine(model: Model, layout: Layout) -> SlotEngine:
    """An engine on ``model``; engines that use the processor take turns with others of the user."""
    turns = NoTurns() if model.on_gpu else Turns()
    return SlotEngine(Context(model, layout), turns)


def prompter_for(model: Model, form: str | None, system: str | None) -> Prompter:
    """How problems are laid out: by ``form``, else the model's chat template, else plainly."""
    return Prompter(
        Encoder(model),
        template=model.metadata(CHAT_TEMPLATE),
        form=form,
        system=system,
        special={"bos_token": model.bos_text, "eos_token": model.eos_text},
    )


def describe(layout: Layout) -> str:
    """The chosen sizes in one line, for -v."""
    sizes = ", ".join(f"{name} {value}" for name, value in asdict(layout).items())
    return f"layout: {sizes} (exact: one stream per sequence, no flash attention)"
