"""From options to a scorer and the engine that it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from stepkit import options
from stepkit.errors import UsageError
from stepkit.run import Streams

if TYPE_CHECKING:
    from stepkit.model.engine import Engine
    from stepkit.search.scorers import Scorer


@dataclass(frozen=True)
class Scoring:
    """A scorer, how to open the engine that it asks, and what decides that engine's rounding."""

    scorer: Scorer
    open: Callable[[], Engine]
    build: Mapping[str, object]


def verifier(
    model: options.ModelOptions,
    given: dict[str, str | None],
    streams: Streams,
    asked: str | None = None,
) -> Scoring:
    """A process reward model, the GGUF file ``model.model``.

    Args:
        given: fields of its profile that the user gave.
        asked: the profile to use: a family or a file; None: the model's own.
    """
    from stepkit.model.layout import choose
    from stepkit.model.llama import model_name
    from stepkit.model.opening import open_engine, open_model
    from stepkit.model.profiles.reader import Reader
    from stepkit.model.profiles.recognise import profile_of
    from stepkit.search.scorers.token_logit import TokenLogit

    assert model.model is not None
    opened = open_model(model.model, model, "--prm")
    layout = choose(opened, model, 0)
    streams.note(str(layout))
    told = profile_of(opened, given, asked)
    profile = told.profile
    streams.note(f"profile: {profile.name or profile.kind}, by {told.by}")
    if profile.kind != "token-logit" or profile.mark.at == "last":
        raise UsageError(
            f'the profile is of kind "{profile.kind}", read at "{profile.mark.at}": only those of '
            'kind "token-logit", read at a marker or before a label, can be run'
        )
    meta = {
        "model": opened.fingerprint,
        "name": model_name(model.model),
        "profile": profile.data(),
        **({} if layout.exact else {"layout": "fast"}),
    }
    scorer = TokenLogit(Reader(opened, profile), meta)
    return Scoring(scorer, partial(open_engine, opened, layout), opened.build)


def likelihood(
    policy: str | None,
    model: options.ModelOptions,
    server: options.ServerOptions,
    form: dict[str, str | None],
    streams: Streams,
    keep_tokens: bool,
) -> Scoring:
    """Any model, here or on servers, that says how likely it finds the steps."""
    from stepkit.model.opening import Form, local_backend
    from stepkit.search.scorers.likelihood import Likelihood

    if server.urls:
        from stepkit.model.serving import server_backend

        backend = server_backend(server, policy, Form(**form), streams.warn, reads=True)
    else:
        assert policy is not None
        backend = local_backend(policy, model, Form(**form), 0)
    streams.note(backend.about)
    prefixes, identity = backend.prefixes, backend.identity
    meta = {
        "model": identity.model,
        "name": identity.name,
        **({"server": identity.server} if identity.server else {}),
        "prompt": prefixes.prompter.identity,
        "system": prefixes.prompter.system,
        "unit": "nats per token",
        **({} if backend.exact else {"layout": "fast"}),
    }
    return Scoring(Likelihood(prefixes, meta, keep_tokens), backend.open, backend.build)
