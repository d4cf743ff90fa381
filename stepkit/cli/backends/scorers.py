"""From options to a scorer and the engine that it asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepkit.cli.backends.profile_scorer import OpenedVerifier, Opens, route
from stepkit.cli.options.confidence import ConfidenceOptions
from stepkit.cli.options.prm import PrmOptions
from stepkit.core.confidence import MEASURES
from stepkit.errors import UsageError
from stepkit.runner import options
from stepkit.runner.run import StreamOptions

if TYPE_CHECKING:
    from stepkit.model.engine import Engine
    from stepkit.model.local.llama import Model
    from stepkit.model.profiles.profile import Profile
    from stepkit.search.scorers import Scorer


@dataclass(frozen=True)
class ScoringSetup:
    """A scorer, how to open the models that it asks, and what decides their rounding."""

    scorer: Scorer
    opens: Opens
    build: Mapping[str, object]

    def open(self) -> Engine:
        """The engine that asks them all."""
        from stepkit.model.multi_engine import opened

        return opened(self.opens)


def verifier(
    model: options.ModelOptions,
    prm: PrmOptions,
    streams: StreamOptions,
    prompt: str | None = None,
    search: bool = False,
    shared: Model | None = None,
) -> ScoringSetup:
    """A process reward model, the GGUF file ``model.model``.

    Args:
        prm: what the user said of it.
        prompt: the user's field of that name of its profile.
        search: keep as many beginnings as a search goes on from; else one trace at a time is read.
        shared: the same file, where it is open already and has an engine; what opens "" is then
            of no use.
    """
    from stepkit.model.backend import open_model
    from stepkit.model.local.context_sizes import beside, choose, for_reading
    from stepkit.model.profiles.recognise import profile_of
    from stepkit.modelfile import model_name

    assert model.model is not None
    opened = shared or open_model(model.model, model, "--prm")
    fields = {**prm.fields, "prompt": prompt}
    told = profile_of(opened, fields, prm.profile, prm.extra.profile)
    profile = told.profile
    layout = choose(opened, model, 0) if search else for_reading(opened, model)
    if search and _one_at_a_time(profile):
        layout = beside(layout)
    if shared is None:
        streams.note(str(layout))
    streams.note(f"profile: {profile.name or profile.kind}, by {told.by}")
    meta = {
        "model": opened.fingerprint,
        "name": model_name(model.model),
        "profile": profile.data(),
        **({} if layout.exact else {"layout": "fast"}),
    }
    scorer, opens = route(OpenedVerifier(opened, layout, model), profile, meta, prm.extra)
    return ScoringSetup(scorer, opens, opened.build)


def _one_at_a_time(profile: Profile) -> bool:
    """Is it read by an engine that holds one trace only (model/local/read_engine.py)?

    Such are readers of hidden states, and of branches.
    """
    branches = bool(profile.text.ending) and profile.kind != "implicit"
    return branches or profile.kind == "hidden-head"


def likelihood(
    policy: str | None,
    model: options.ModelOptions,
    server: options.ServerOptions,
    form: dict[str, str | None],
    streams: StreamOptions,
    keep_tokens: bool,
    measure: ConfidenceOptions,
) -> ScoringSetup:
    """Any model, here or on servers, that says how likely it finds the steps."""
    from stepkit.model.backend import PromptForm, local_backend
    from stepkit.search.scorers.likelihood import LikelihoodScorer

    if server.urls:
        if MEASURES[measure.by].reads != "logprob":
            raise UsageError(
                f"--by {measure.by} goes with -m: a server does not give whole distributions"
            )
        from stepkit.model.server_backend import server_backend

        backend = server_backend(server, policy, PromptForm(**form), streams.warn, reads=True)
    else:
        assert policy is not None
        backend = local_backend(policy, model, PromptForm(**form), 0, draws=False)
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
    scorer = LikelihoodScorer(prefixes, meta, keep_tokens, by=measure.by, group=measure.group)
    return ScoringSetup(scorer, {"": backend.open}, backend.build)
