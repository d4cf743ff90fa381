"""From options to a scorer and the engine that it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepkit import options
from stepkit.cli.routes import Extra, Opened, route
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
    extra: Extra = Extra(),  # noqa: B008
    search: bool = False,
) -> Scoring:
    """A process reward model, the GGUF file ``model.model``.

    Args:
        given: fields of its profile that the user gave.
        asked: the profile to use: a family or a file; None: the model's own.
        search: keep as many beginnings as a search goes on from; else one trace at a time is read.
    """
    from stepkit.model.layout import choose, for_reading
    from stepkit.model.llama import model_name
    from stepkit.model.opening import open_model
    from stepkit.model.profiles.recognise import profile_of

    assert model.model is not None
    opened = open_model(model.model, model, "--prm")
    layout = choose(opened, model, 0) if search else for_reading(opened, model)
    streams.note(str(layout))
    told = profile_of(opened, given, asked, extra.profile)
    profile = told.profile
    streams.note(f"profile: {profile.name or profile.kind}, by {told.by}")
    meta = {
        "model": opened.fingerprint,
        "name": model_name(model.model),
        "profile": profile.data(),
        **({} if layout.exact else {"layout": "fast"}),
    }
    scorer, open_it = route(Opened(opened, layout, model), profile, meta, extra)
    return Scoring(scorer, open_it, opened.build)


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
