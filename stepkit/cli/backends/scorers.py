"""From options to a scorer and the engine of its models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepkit.cli.backends.profile_scorer import OpenedVerifier, Opens, route
from stepkit.cli.options.confidence import ConfidenceOptions
from stepkit.cli.options.prm import PrmOptions
from stepkit.cli.options.prompt import PromptOptions
from stepkit.core.confidence import MEASURES
from stepkit.errors import UsageError
from stepkit.runner import options
from stepkit.runner.run import StreamOptions

if TYPE_CHECKING:
    from stepkit.model.backend import Backend
    from stepkit.model.engine import Engine
    from stepkit.model.local.llama import Model
    from stepkit.model.profiles.profile import Profile
    from stepkit.search.scorers import Scorer


@dataclass(frozen=True)
class ScoringSetup:
    """A scorer, how to open its models, and the values that decide their rounding."""

    scorer: Scorer
    opens: Opens
    build: Mapping[str, object]

    def open(self) -> Engine:
        """The engine that serves all its models."""
        from stepkit.model.multi_engine import open_all

        return open_all(self.opens)


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
        prm: how it is read.
        prompt: the field ``prompt`` of its profile, where the user gives it.
        search: keep as many prefixes as a search extends; else one trace at a time is read.
        shared: the same file, where it is open already and has an engine; what opens "" is then
            not needed.
    """
    from stepkit.model.backend import open_model
    from stepkit.model.local.context_sizes import for_drawing, for_reading, for_reading_like
    from stepkit.model.profiles.recognise import profile_of

    assert model.model is not None
    opened = shared or open_model(model.model, model, "--prm")
    fields = {**prm.fields, "prompt": prompt}
    recognised = profile_of(opened, fields, prm.profile, prm.extra.profile)
    profile = recognised.profile
    plan = for_drawing(opened, model, 0) if search else for_reading(opened, model)
    if search and _one_at_a_time(profile):
        plan = for_reading_like(plan)
    if shared is None:
        streams.note(str(plan))
        streams.note(opened.weights_note)
    streams.note(f"profile: {profile.name or profile.kind}, by {recognised.by}")
    meta = {
        "model": opened.fingerprint,
        "name": opened.name,
        "profile": profile.data(),
    }
    if plan.rope:
        meta["rope"] = plan.rope
    if not plan.exact:
        meta["layout"] = "fast"
    loaded = OpenedVerifier(opened, plan, model, streams.note)
    scorer, opens = route(loaded, profile, meta, prm.extra)
    return ScoringSetup(scorer, opens, opened.build)


def _one_at_a_time(profile: Profile) -> bool:
    """True for a profile whose engine holds one trace only (model/local/read_engine.py).

    These read hidden states, or branches after each step.
    """
    branches = bool(profile.text.ending) and profile.kind != "implicit"
    return branches or profile.kind == "hidden-head"


def likelihood(
    policy: str | None,
    model: options.ModelOptions,
    server: options.ServerOptions,
    prompt: PromptOptions,
    streams: StreamOptions,
    keep_tokens: bool,
    measure: ConfidenceOptions,
    loaded: Model | None = None,
) -> ScoringSetup:
    """A language model, here or on servers, whose probabilities of the steps are their scores.

    Args:
        loaded: the file ``policy``, where it is loaded already.
    """
    from stepkit.model.backend import local_backend
    from stepkit.search.scorers.likelihood import LikelihoodScorer

    if server.urls:
        if MEASURES[measure.by].reads != "logprob":
            raise UsageError(
                f"--by {measure.by} goes with -m: a server does not give whole distributions"
            )
        from stepkit.model.server_backend import server_backend

        backend = server_backend(server, policy, prompt.form(), streams.warn, reads=True)
    else:
        assert policy is not None
        backend = local_backend(
            policy, model, prompt.form(), 0, draws=False, loaded=loaded, note=streams.note
        )
    streams.note(backend.about)
    if backend.model is not None:
        streams.note(backend.model.weights_note)
    meta = backend_meta(backend, measure.meta())
    scorer = LikelihoodScorer(
        backend.prefixes, meta, keep_tokens, by=measure.by, group=measure.group
    )
    return ScoringSetup(scorer, {"": backend.open}, backend.build)


def backend_meta(backend: Backend, settings: Mapping[str, Any]) -> dict[str, Any]:
    """``meta`` of scores by a language model: its name, prompt and layout, and ``settings``."""
    identity, prompter = backend.identity, backend.prefixes.prompter
    meta: dict[str, Any] = {"model": identity.model, "name": identity.name}
    if identity.server:
        meta["server"] = identity.server
    meta |= {"prompt": prompter.identity, "system": prompter.system, **settings}
    if backend.rope:
        meta["rope"] = backend.rope
    if not backend.exact:
        meta["layout"] = "fast"
    return meta
