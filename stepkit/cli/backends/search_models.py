"""The models that a search runs in addition to its policy: a PRM and a draft model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from stepkit.errors import UsageError
from stepkit.runner import options, run

if TYPE_CHECKING:
    from stepkit.cli.options.prm import PrmOptions
    from stepkit.model.backend import Backend, PromptForm
    from stepkit.model.engine import Engine
    from stepkit.model.sampler import Sampler
    from stepkit.search.method_setup import PrmSource


@dataclass(frozen=True)
class SearchModels:
    """The opened models of a search.

    Attributes:
        open: opens the engine that serves all of them, the policy among them.
        guidance: the PRM that guides, or None.
        draft: the sampler of the draft model, or None.
        decides: the values of guidance and draft that decide the output.
    """

    open: Callable[[], Engine]
    guidance: PrmSource | None = None
    draft: Sampler | None = None
    decides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenedPolicy:
    """The policy after it was opened, and the options that opened it."""

    backend: Backend
    sampler: Sampler
    model: options.ModelOptions
    form: PromptForm
    seed: int
    biases: tuple[str, ...]


def open_models(
    settings: Mapping[str, Any], prm: PrmOptions, policy: OpenedPolicy, streams: run.StreamOptions
) -> SearchModels:
    """Open the models that a method's options name, in addition to the policy.

    Args:
        settings: the method's options.
        prm: how the PRM is read.

    Raises UsageError for a model that cannot guide a search.
    """
    if settings.get("prm") is None:
        return SearchModels(policy.backend.open)
    opens = {"": policy.backend.open}
    guidance, decides = _verifier(settings["prm"], prm, policy, streams, opens)
    draft = None
    if "draft" in settings:
        draft = _draft(settings["draft"], policy, streams, opens)
        decides["draft"] = draft.decisive
    from stepkit.model.multi_engine import open_all

    return SearchModels(partial(open_all, opens), guidance, draft, decides)


def _verifier(
    path: str,
    prm: PrmOptions,
    policy: OpenedPolicy,
    streams: run.StreamOptions,
    opens: dict[str, Callable[[], Engine]],
) -> tuple[PrmSource, dict[str, Any]]:
    """A PRM, and the values of it that decide the output.

    Where it is the policy's own file, the policy's engine serves both; else what opens it is added
    to ``opens``.
    """
    from stepkit.cli.backends.scorers import verifier
    from stepkit.model.multi_engine import name_in_group
    from stepkit.modelfile import fingerprint
    from stepkit.search.method_setup import PrmSource
    from stepkit.search.scorers.model_alias import AliasedScorer
    from stepkit.stores.locate import locate

    file = locate(path, "--prm").path
    own = policy.backend.model
    shared = own if own is not None and fingerprint(file) == own.fingerprint else None
    scoring = verifier(replace(policy.model, model=path), prm, streams, search=True, shared=shared)
    meta = scoring.scorer.meta
    if meta["profile"].get("attempt"):
        raise UsageError(
            "--prm: the profile gives a whole attempt one number and its steps none, and a search "
            "goes by those"
        )
    if shared is not None:
        opens |= {model: open_it for model, open_it in scoring.opens.items() if model}
        return PrmSource(scoring.scorer), {"prm": meta}
    opens |= {name_in_group("prm", model): open_it for model, open_it in scoring.opens.items()}
    decides = {"prm": meta} | {f"prm {key}": value for key, value in scoring.build.items()}
    return PrmSource(AliasedScorer(scoring.scorer, "prm")), decides


def _draft(
    path: str,
    policy: OpenedPolicy,
    streams: run.StreamOptions,
    opens: dict[str, Callable[[], Engine]],
) -> Sampler:
    """A draft model, which draws as the policy does."""
    from stepkit.model.backend import local_backend, logit_biases
    from stepkit.model.sampler import Sampler

    sampling = policy.sampler.sampling
    options = replace(policy.model, model=path)
    backend = local_backend(
        path, options, policy.form, sampling.max_tokens, "--draft", note=streams.note
    )
    streams.note(backend.about)
    if backend.identity.model == policy.backend.identity.model:
        raise UsageError("--draft is the policy itself")
    opens["draft"] = backend.open
    assert backend.model is not None
    return Sampler(
        backend.prefixes,
        replace(sampling, logit_bias=logit_biases(backend.model, policy.biases)),
        model=backend.identity,
        context=backend.context,
        seed=policy.seed,
        exact=backend.exact,
        rope=backend.rope,
        alias="draft",
    )
