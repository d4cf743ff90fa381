"""From options to an engine: the one place that puts model, context, lock and prompt together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Protocol

from stepkit.model.chat import Encoder, Prompter, Template, read_template
from stepkit.model.engine import Engine
from stepkit.model.llama import Context, Layout, Model, choose_layout, model_name
from stepkit.model.prefixes import Prefixes
from stepkit.model.sampler import Identity
from stepkit.model.slots import SlotEngine
from stepkit.model.turns import NoTurns, Turns

CHAT_TEMPLATE = "tokenizer.chat_template"


@dataclass(frozen=True)
class Form:
    """How the user wants problems laid out; None leaves it to the model.

    Attributes:
        prompt: a plain format with {problem} in it.
        system: text of a system message.
        template: a file with a chat template.
    """

    prompt: str | None = None
    system: str | None = None
    template: str | None = None


@dataclass(frozen=True)
class Backend:
    """A model that can be asked, wherever it runs.

    Attributes:
        identity: which model it is.
        prefixes: prompts and prefixes as it takes them.
        context: tokens per sequence, or None when that is a server's business.
        build: what decides rounding beside the model.
        about: how it runs, in a line, for -v.
        open: makes the engine.
        unit: what its prefixes are made of.
    """

    identity: Identity
    prefixes: Prefixes
    context: int | None
    build: dict[str, object]
    about: str
    open: Callable[[], Engine]
    unit: str = "tokens"


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


def local_backend(path: str, options: Options, form: Form, max_tokens: int) -> Backend:
    """A GGUF file, to be run in this process."""
    model = Model(path, gpu_layers=options.gpu_layers)
    layout = layout_for(model, options, max_tokens)
    return Backend(
        Identity(model_name(path), model.fingerprint),
        Prefixes(model, prompter_for(model, form)),
        layout.context,
        model.build,
        describe(layout),
        partial(open_engine, model, layout),
    )


def prompter_for(model: Model, form: Form) -> Prompter:
    """How problems are laid out: as the user says, else by the model's chat template, else
    plainly."""
    template = template_for(model, form)
    return Prompter(
        Encoder(model),
        template=template.source if template else None,
        form=form.prompt,
        system=form.system,
        special={"bos_token": model.bos_text, "eos_token": model.eos_text},
    )


def template_for(model: Model | None, form: Form) -> Template | None:
    """The chat template of the user's file, else the model's own with its special tokens."""
    if form.template is not None:
        return read_template(form.template)
    source = None if model is None else model.metadata(CHAT_TEMPLATE)
    if model is None or not source:
        return None
    # who is sent text puts the beginning-of-text token first by itself, if the model wants one
    return Template(source, "" if model.bos else model.bos_text, model.eos_text)


def describe(layout: Layout) -> str:
    """The chosen sizes in one line, for -v."""
    sizes = ", ".join(f"{name} {value}" for name, value in asdict(layout).items())
    return f"layout: {sizes} (exact: one stream per sequence, no flash attention)"
