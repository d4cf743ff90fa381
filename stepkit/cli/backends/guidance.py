"""The options of step-rollout that guide a search, and the models that they bring in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from stepkit.errors import UsageError
from stepkit.runner import options, run
from stepkit.search.method_registry import AGGREGATES

if TYPE_CHECKING:
    from stepkit.cli.options.prm import PrmOptions
    from stepkit.model.backend import Backend, PromptForm
    from stepkit.model.engine import Engine
    from stepkit.model.sampler import Sampler
    from stepkit.search.method_setup import PrmSource

COUNT = click.IntRange(min=1)

OPTIONS: Mapping[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "prm": (
        ("--prm",),
        {
            "metavar": "FILE",
            "type": click.Path(),
            "help": "The process reward model that guides the search, a GGUF file.",
        },
    ),
    "aggregate": (
        ("--aggregate",),
        {
            "type": click.Choice(AGGREGATES),
            "help": "What an attempt so far is worth, by its steps' scores (default: last).",
        },
    ),
    "beams": (
        ("--beams",),
        {"metavar": "N", "type": COUNT, "help": "Beams, or subtrees (default: 4)."},
    ),
    "ahead": (
        ("--ahead",),
        {"metavar": "N", "type": COUNT, "help": "Steps to look ahead (default: 1)."},
    ),
    "weight_temperature": (
        ("--weight-temperature",),
        {
            "metavar": "X",
            "type": click.FloatRange(min=0, min_open=True),
            "help": "What the logarithms of particles' weights are divided by (default: 1).",
        },
    ),
    "ess": (
        ("--ess",),
        {
            "metavar": "X",
            "type": click.FloatRange(0, 1),
            "help": "Resample when the effective number of particles is below X of all (default: "
            "1, always).",
        },
    ),
    "resample": (
        ("--resample",),
        {
            "type": click.Choice(["systematic", "multinomial"]),
            "help": "How particles are drawn again (default: systematic).",
        },
    ),
    "draft": (
        ("--draft",),
        {
            "metavar": "FILE",
            "type": click.Path(),
            "help": "The small model that proposes steps, a GGUF file.",
        },
    ),
    "accept": (
        ("--accept",),
        {
            "metavar": "X",
            "type": click.FLOAT,
            "help": "A proposed step stands when its score is at least X (default: 0.7).",
        },
    ),
    "advantage": (
        ("--advantage",),
        {
            "metavar": "X",
            "type": click.FLOAT,
            "help": "Let both models write every step, and take the policy's where its score is "
            "more than X higher.",
        },
    ),
    "score_weight": (
        ("--score-weight",),
        {
            "metavar": "W",
            "type": click.FloatRange(0, 1),
            "help": "Weight of the PRM's score of a step, beside outcomes (default: 1).",
        },
    ),
    "prior": (
        ("--prior",),
        {
            "type": click.Choice(["likelihood", "score"]),
            "help": "What PUCT expects of a step: its probability, or the PRM's score "
            "(default: likelihood).",
        },
    ),
}
"""Option of a method -> its names and click's settings, as in cli/options/methods.py."""

MODELS = ("prm", "draft")
"""Options that name a model: the model itself is what a resume must agree on, not its file."""


def check(given: Mapping[str, Any]) -> None:
    """Refuse what says nothing, or two things, about who guides. Raises UsageError.

    Args:
        given: the options that the user gave, by name.
    """
    if "accept" in given and "advantage" in given:
        raise UsageError("--accept and --advantage exclude each other")
    if "self_weight" in given and "prm" in given:
        raise UsageError("--self-weight and --prm exclude each other")
    if "aggregate" in given and not {"prm", "self_weight"} & given.keys():
        raise UsageError("--aggregate has no effect without --prm or --self-weight")
    for name in ("score_weight", "prior"):
        if name in given and "prm" not in given:
            raise UsageError(f"--{name.replace('_', '-')} has no effect without --prm")
    if given.get("prior") == "score" and given.get("select") != "puct":
        raise UsageError("--prior score has no effect without --select puct")
    if given.get("score_weight") == 0 and given.get("prior") != "score":
        raise UsageError("--prm has no effect with --score-weight 0 and no --prior score")


@dataclass(frozen=True)
class SearchGuides:
    """What guides a search beside its policy.

    Attributes:
        open: makes the engine that asks them all.
        decides: what of them decides the output.
    """

    open: Callable[[], Engine]
    guidance: PrmSource | None = None
    draft: Sampler | None = None
    decides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OpenedPolicy:
    """The model that draws, as it was opened."""

    backend: Backend
    sampler: Sampler
    model: options.ModelOptions
    form: PromptForm
    seed: int
    biases: tuple[str, ...]


def guides_of(
    chosen: Mapping[str, Any], prm: PrmOptions, policy: OpenedPolicy, streams: run.StreamOptions
) -> SearchGuides:
    """The models that a method's options name, beside the policy.

    Args:
        prm: what the user said of the PRM.

    Raises UsageError for one that cannot guide.
    """
    if chosen.get("prm") is None:
        return SearchGuides(policy.backend.open)
    opens = {"": policy.backend.open}
    guidance, decides = _verifier(chosen["prm"], prm, policy, streams, opens)
    draft = None
    if "draft" in chosen:
        draft = _draft(chosen["draft"], policy, streams, opens)
        decides["draft"] = draft.decisive
    from stepkit.model.multi_engine import opened

    return SearchGuides(partial(opened, opens), guidance, draft, decides)


def _verifier(
    path: str,
    prm: PrmOptions,
    policy: OpenedPolicy,
    streams: run.StreamOptions,
    opens: dict[str, Callable[[], Engine]],
) -> tuple[PrmSource, dict[str, Any]]:
    """A PRM; where it is the policy's own file, the policy's engine serves both.

    Adds to ``opens`` what else has to be opened.
    """
    from stepkit.cli.backends.scorers import verifier
    from stepkit.model.multi_engine import named
    from stepkit.modelfile import check_file, fingerprint
    from stepkit.search.method_setup import PrmSource
    from stepkit.search.scorers.model_alias import AliasedScorer

    check_file(path, "--prm")
    ran = replace(policy.model, model=path)
    here = policy.backend.model
    shared = here if here is not None and fingerprint(path) == here.fingerprint else None
    scoring = verifier(ran, prm, streams, search=True, shared=shared)
    meta = scoring.scorer.meta
    if meta["profile"].get("attempt"):
        raise UsageError(
            "--prm: the profile gives a whole attempt one number and its steps none, and a search "
            "goes by those"
        )
    if shared is not None:
        opens |= {model: open_it for model, open_it in scoring.opens.items() if model}
        return PrmSource(scoring.scorer), {"prm": meta}
    opens |= {named("prm", model): open_it for model, open_it in scoring.opens.items()}
    decides = {"prm": meta, **{f"prm {key}": value for key, value in scoring.build.items()}}
    return PrmSource(AliasedScorer(scoring.scorer, "prm")), decides


def _draft(
    path: str,
    policy: OpenedPolicy,
    streams: run.StreamOptions,
    opens: dict[str, Callable[[], Engine]],
) -> Sampler:
    """A draft model, which draws as the policy does."""
    from stepkit.model.backend import biases, local_backend
    from stepkit.model.sampler import Sampler

    sampling = policy.sampler.sampling
    backend = local_backend(
        path, replace(policy.model, model=path), policy.form, sampling.max_tokens, "--draft"
    )
    streams.note(backend.about)
    if backend.identity.model == policy.backend.identity.model:
        raise UsageError("--draft is the policy itself")
    opens["draft"] = backend.open
    assert backend.model is not None
    return Sampler(
        backend.prefixes,
        replace(sampling, logit_bias=biases(backend.model, policy.biases)),
        model=backend.identity,
        context=backend.context,
        seed=policy.seed,
        exact=backend.exact,
        asks="draft",
    )
