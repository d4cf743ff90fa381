"""From options to an engine in this process: model, context, lock and prompt put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, nan
from typing import IO, Any, Protocol

from stepkit.errors import FailedError, UsageError
from stepkit.model.chat import PromptEncoder, Prompter, TemplateSource, read_template
from stepkit.model.engine import Engine
from stepkit.model.local import context_sizes
from stepkit.model.local.context_opener import ContextOpener
from stepkit.model.local.context_sizes import ContextPlan
from stepkit.model.local.cpu_lock import CpuLock, NoCpuLock
from stepkit.model.local.grammar import Grammar
from stepkit.model.local.llama import Model
from stepkit.model.local.read_engine import ReadEngine
from stepkit.model.local.slot_engine import SlotEngine
from stepkit.model.prefixes import Prefixes
from stepkit.model.sampler import ModelIdentity

Note = Callable[[str], None]


def silent(_line: str) -> None:
    """Note nothing."""


CHAT_TEMPLATE = "tokenizer.chat_template"


@dataclass(frozen=True)
class PromptForm:
    """How the user lays problems out; None leaves it to the model.

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
    """A model that takes requests, wherever it runs.

    Attributes:
        identity: which model it is.
        prefixes: prompts and prefixes as it takes them.
        context: tokens at which a draw ends, or None when a server decides it.
        build: what decides rounding in addition to the model.
        about: how it runs, in a line, for -v.
        open: makes the engine.
        unit: what its prefixes are made of.
        model: the model itself, where it runs in this process.
        exact: a result does not depend on what else is in flight.
        rope: which of two kinds of rope factors it has, "short" or "long"; "" without a choice.
    """

    identity: ModelIdentity
    prefixes: Prefixes
    context: int | None
    build: dict[str, object]
    about: str
    open: Callable[[], Engine]
    unit: str = "tokens"
    model: Model | None = None
    exact: bool = True
    rope: str = ""


class BackendOptions(context_sizes.ContextOptions, Protocol):
    """The shared model options (see runner.settings.ModelOptions)."""

    @property
    def gpu_layers(self) -> int: ...
    @property
    def main_gpu(self) -> int | None: ...
    @property
    def tensor_split(self) -> tuple[float, ...]: ...


def open_model(path: str, options: BackendOptions, option: str = "--model") -> Model:
    """Load a GGUF file, which the user named by ``option``."""
    return Model(
        path,
        gpu_layers=options.gpu_layers,
        main_gpu=options.main_gpu,
        tensor_split=options.tensor_split,
        option=option,
    )


def check_loads(path: str, backbone: str) -> None:
    """Raise UsageError unless llama.cpp loads ``path``, a head grafted into ``backbone``: it does
    not where an architecture always takes the embedding for the output matrix."""
    try:
        Model(path).close()
    except FailedError as error:
        raise UsageError(
            f"--graft {backbone}: llama.cpp does not load it with an output matrix of its own: "
            f"{error}; use the head next to the model"
        ) from None


def open_engine(model: Model, plan: ContextPlan, note: Note = silent) -> SlotEngine | ReadEngine:
    """An engine on ``model``, for reads only in a unified layout; engines on the processor take
    turns with others of the user.

    Args:
        note: is told which contexts are opened, for -v.
    """
    lock = NoCpuLock() if model.on_gpu else CpuLock()
    opener = ContextOpener(model, plan, note)
    return ReadEngine(opener, lock) if plan.unified else SlotEngine(opener, lock)


def local_backend(
    path: str,
    options: BackendOptions,
    form: PromptForm,
    max_tokens: int,
    option: str = "--model",
    *,
    draws: bool = True,
    loaded: Model | None = None,
    note: Note = silent,
) -> Backend:
    """A GGUF file, to be run in this process.

    Args:
        option: by which the user named it.
        draws: else it is read only, one text with its branches at a time
            (model/local/read_engine.py).
        loaded: the file, where it is loaded already.
        note: is told which contexts are opened, for -v.
    """
    model = loaded or open_model(path, options, option)
    plan = (
        context_sizes.for_drawing(model, options, max_tokens)
        if draws
        else context_sizes.for_reading(model, options)
    )
    return Backend(
        ModelIdentity(model.name, model.fingerprint),
        Prefixes(model, prompter_for(model, form)),
        plan.limit,
        model.build,
        str(plan),
        partial(open_engine, model, plan, note),
        model=model,
        exact=plan.exact,
        rope=plan.rope,
    )


def prompter_for(model: Model, form: PromptForm) -> Prompter:
    """How problems are laid out: by the user's format or template, else by the model's chat
    template, else plainly."""
    template = template_for(model, form)
    return Prompter(
        PromptEncoder(model),
        template=template.source if template else None,
        form=form.prompt,
        system=form.system,
        special={"bos_token": model.bos_text, "eos_token": model.eos_text},
    )


def trainer_tokens(path: str, option: str) -> Callable[[str], Sequence[int]]:
    """The token ids of texts in a file's vocabulary as trainers read them: a special token is known
    by its mark, wherever it stands.

    Args:
        option: by which the user named the file.
    """
    encoder = PromptEncoder(Model(path, option=option, vocabulary_only=True))
    return lambda text: encoder.plain([(text, True)])


def template_for(model: Model | None, form: PromptForm) -> TemplateSource | None:
    """The chat template of the user's file, else the model's own with its special tokens."""
    if form.template is not None:
        return read_template(form.template)
    source = None if model is None else model.metadata(CHAT_TEMPLATE)
    if model is None or not source:
        return None
    # what tokenises the rendered text puts the beginning-of-text token first, if the model uses one
    return TemplateSource(source, "" if model.bos else model.bos_text, model.eos_text)


def sampling_fields(model: Model | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of engine.Sampling that ``--logit-bias`` and ``--grammar`` set for this model.

    Raises UsageError for an unknown token, a wrong number, or a grammar with an error.
    """
    if model is None:
        return {"logit_bias": (), "grammar": ""}
    return {
        "logit_bias": logit_biases(model, given["logit_bias"]),
        "grammar": grammar_text(model, given["grammar"]),
    }


def logit_biases(model: Model, given: Iterable[str]) -> tuple[tuple[int, float], ...]:
    """The biases of ``--logit-bias TOKEN=X``, by token id. Raises UsageError."""
    by_token = {}
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            bias = float(number)
        except ValueError:
            bias = nan
        if not name or not bias < inf:
            raise UsageError(f'--logit-bias "{text}": expected TOKEN=NUMBER, as in 42=-inf')
        by_token[model.token(name, "--logit-bias")] = bias
    return tuple(sorted(by_token.items()))


def grammar_text(model: Model, file: IO[str] | None) -> str:
    """The text of a GBNF file that llama.cpp can read, or "". Raises UsageError."""
    if file is None:
        return ""
    try:
        text = file.read()
    except UnicodeDecodeError:
        raise UsageError(f"--grammar {file.name}: not UTF-8") from None
    Grammar(model, text)
    return text
