"""From options to an engine: the one place that puts model, context, lock and prompt together."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, nan
from typing import IO, Protocol

from stepkit.errors import UsageError
from stepkit.model import layout
from stepkit.model.chat import Encoder, Prompter
from stepkit.model.layout import Layout
from stepkit.model.llama import Context, Grammar, Model
from stepkit.model.slots import SlotEngine
from stepkit.model.turns import NoTurns, Turns

CHAT_TEMPLATE = "tokenizer.chat_template"


class Options(layout.Options, Protocol):
    """The shared model options (see options.ModelOptions)."""

    @property
    def gpu_layers(self) -> int: ...
    @property
    def main_gpu(self) -> int | None: ...
    @property
    def tensor_split(self) -> tuple[float, ...]: ...


def open_model(path: str, options: Options, option: str = "--model") -> Model:
    """Load a GGUF file; ``option`` is what the user named it by."""
    return Model(
        path,
        gpu_layers=options.gpu_layers,
        main_gpu=options.main_gpu,
        tensor_split=options.tensor_split,
        option=option,
    )


def layout_for(model: Model, options: Options, max_tokens: int) -> Layout:
    """Sizes of the context for these options. Raises UsageError when they cannot be met."""
    return layout.choose(model, options, max_tokens)


def open_engine(model: Model, sizes: Layout) -> SlotEngine:
    """An engine on ``model``; engines that use the processor take turns with others of the user."""
    turns = NoTurns() if model.on_gpu else Turns()
    return SlotEngine(Context(model, sizes), turns)


def prompter_for(model: Model, form: str | None, system: str | None) -> Prompter:
    """How problems are laid out: by ``form``, else the model's chat template, else plainly."""
    return Prompter(
        Encoder(model),
        template=model.metadata(CHAT_TEMPLATE),
        form=form,
        system=system,
        special={"bos_token": model.bos_text, "eos_token": model.eos_text},
    )


def biases(model: Model, given: Iterable[str]) -> tuple[tuple[int, float], ...]:
    """What ``--logit-bias TOKEN=X`` says, by token id. Raises UsageError."""
    found = {}
    for text in given:
        said, _, number = text.rpartition("=")
        try:
            bias = float(number)
        except ValueError:
            bias = nan
        if not said or not bias < inf:
            raise UsageError(f'--logit-bias "{text}": expected TOKEN=NUMBER, as in 42=-inf')
        found[model.token(said, "--logit-bias")] = bias
    return tuple(sorted(found.items()))


def grammar(model: Model, file: IO[str] | None) -> str:
    """The text of a GBNF file that llama.cpp can read, or "". Raises UsageError."""
    if file is None:
        return ""
    text = file.read()
    Grammar(model, text)
    return text
