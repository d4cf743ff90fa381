"""From URLs to a backend: servers of one model, and prompts in the form that they take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from stepkit.errors import UsageError
from stepkit.model.backend import Backend, PromptForm, prompter_for, template_for
from stepkit.model.chat import PromptEncoder, Prompter
from stepkit.model.engine import Engine
from stepkit.model.local.llama import Model
from stepkit.model.prefixes import Prefixes
from stepkit.model.sampler import ModelIdentity
from stepkit.model.servers.byte_vocabulary import ByteVocabulary, name_of
from stepkit.model.servers.completions import OTHER, PROBE
from stepkit.model.servers.http import base_url
from stepkit.model.servers.load_balancer import Server
from stepkit.model.servers.probe import ProbeOptions, ServerFacts, ServerProbe, probe_servers
from stepkit.model.servers.server_engine import ServedModel, ServerEngine

BATCH = "batch"


def server_backend(
    options: ProbeOptions,
    gguf: str | None,
    form: PromptForm,
    warn: Callable[[str], None],
    *,
    reads: bool = False,
    lists: bool = False,
) -> Backend:
    """Servers, over the network.

    Args:
        gguf: a file with the served model's vocabulary and template, or None. With it, prompts of
            draws are token ids, if the servers take these.
        warn: called with one line for each server that cannot be used.
        reads: for reading texts, not for draws.
        lists: for listing the most probable tokens.

    Raises UsageError when they do not serve the same model, cannot read, or a prompt cannot be
    laid out; FailedError when none can be used.
    """
    urls = list(dict.fromkeys(base_url(url) for url in options.urls))
    model = None if gguf is None else Model(gguf, vocabulary_only=True)
    prompter = text_prompter(model, form)
    known = None if model is None else [*model.bos, *model.tokenize(PROBE)]
    probe = ServerProbe(echo=True) if reads else ServerProbe(ids=known)
    found = probe_servers(urls, options, probe, warn)
    for url, one in found.items():
        _check(url, one, reads, known)
        if lists and not one.logprobs:
            raise UsageError(
                f"--server: {url} gives no log-probabilities, and a judge that has to choose is "
                "read by them; run the model here with -m alone"
            )
    identity = _agreed({url: (name_of(one.model), one.kind) for url, one in found.items()})
    service = ServedModel(
        kind=identity.server or OTHER,
        tokens=model is not None and all(one.tokens for one in found.values()),
        logprobs=all(one.logprobs for one in found.values()),
        concurrency=options.concurrency,
        timeout=options.timeout,
        retries=options.retries,
    )
    servers = [Server(url, one.model) for url, one in found.items()]
    prefixes = Prefixes(ByteVocabulary(), prompter)
    if model is not None and service.tokens:
        prefixes = Prefixes(model, prompter_for(model, form))
    unit = "tokens" if service.tokens else "bytes"
    about = (
        f"{len(servers)} of {len(urls)} servers: {identity.name} by {service.kind}; prompts of "
        f"{unit}, {'with' if service.logprobs else 'without'} log-probabilities"
    )
    engine = partial(ServerEngine, service, servers, warn)
    return Backend(identity, prefixes, None, {}, about, engine, unit)


def batch_backend(served: str, gguf: str | None, form: PromptForm, engine: Engine) -> Backend:
    """Batch files, which ``engine`` writes or reads; their prompts are always text."""
    model = None if gguf is None else Model(gguf, vocabulary_only=True)
    identity = ModelIdentity(name_of(served), name_of(served), BATCH)
    prefixes = Prefixes(ByteVocabulary(), text_prompter(model, form))
    about = f"batch files for {identity.name}; prompts of bytes"
    return Backend(identity, prefixes, None, {}, about, lambda: engine, "bytes")


def text_prompter(model: Model | None, form: PromptForm) -> Prompter:
    """How problems are laid out as text. Raises UsageError when no option gives it."""
    template = None if form.prompt is not None else template_for(model, form)
    if form.prompt is None and template is None and model is None:
        raise UsageError(
            "a server is sent whole prompts: say how a problem is laid out by --template FILE, "
            "--prompt FORMAT or the model's GGUF file (-m)"
        )
    special = {"bos_token": template.bos_token, "eos_token": template.eos_token} if template else {}
    return Prompter(
        PromptEncoder(ByteVocabulary()),
        template=template.source if template else None,
        form=form.prompt,
        system=form.system,
        special=special,
    )


def _check(url: str, found: ServerFacts, reads: bool, known: list[int] | None) -> None:
    """Raise UsageError for a server that cannot do what is needed."""
    if reads and not found.echo:
        raise UsageError(
            f"--server: {url} does not give the log-probabilities of a text that it reads "
            "(echo with logprobs); run the model here with -m alone"
        )
    if known is not None and found.probe_tokens not in (None, len(known)):
        raise UsageError(
            f"--model: its vocabulary is not that of {url}: a line is {len(known)} tokens in "
            f"it, and {found.probe_tokens} there"
        )


def _agreed(served: dict[str, tuple[str, str]]) -> ModelIdentity:
    """The one model that all servers serve. Raises UsageError where they differ."""
    (first, (name, kind)), *others = served.items()
    for url, other in others:
        if other != (name, kind):
            raise UsageError(
                f"--server: {first} serves {name} ({kind}), but {url} {other[0]} ({other[1]}); "
                "draws of one run are from one model"
            )
    return ModelIdentity(name, name, kind)
