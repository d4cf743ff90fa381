"""From options to a scorer and the engine that it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from stepkit import options
from stepkit.cli.measuring import Measuring
from stepkit.core.confidence import MEASURES
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
    model: options.ModelOptions, given: dict[str, str | None], streams: Streams
) -> Scoring:
    """A process reward model, the GGUF file ``model.model``."""
    from stepkit.model.layout import choose
    from stepkit.model.llama import model_name
    from stepkit.model.opening import open_engine, open_model
    from stepkit.model.profiles import Reader, profile_of
    from stepkit.search.scorers.token_logit import TokenLogit

    assert model.model is not None
    opened = open_model(model.model, model, "--prm")
    layout = choose(opened, model, 0)
    streams.note(str(layout))
    profile = profile_of(opened, given)
    meta = {
        "model": opened.fingerprint,
        "name": model_name(model.model),
        "profile": asdict(profile),
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
    measure: Measuring,
) -> Scoring:
    """Any model, here or on servers, that says how likely it finds the steps."""
    from stepkit.model.opening import Form, local_backend
    from stepkit.search.scorers.likelihood import Likelihood

    if server.urls:
        if MEASURES[measure.by].reads != "logprob":
            raise UsageError(
                f"--by {measure.by} goes with -m: a server does not give whole distributions"
            )
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
        **measure.meta(),
        **({} if backend.exact else {"layout": "fast"}),
    }
    scorer = Likelihood(prefixes, meta, keep_tokens, by=measure.by, group=measure.group)
    return Scoring(scorer, backend.open, backend.build)
