"""From a verifier's profile to its scorer: by its logits, a head, grafted rows, or two models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from stepkit.cli.options.prm import ExtraFiles
from stepkit.errors import UsageError
from stepkit.runner import options

if TYPE_CHECKING:
    from stepkit.model.engine import Engine
    from stepkit.model.local.context_sizes import ContextPlan
    from stepkit.model.local.llama import Model
    from stepkit.model.profiles.profile import Profile
    from stepkit.search.scorers import Scorer


Opens: TypeAlias = "Mapping[str, Callable[[], Engine]]"
"""How to open the engine of each model, by its name there (model/multi_engine.py)."""


@dataclass(frozen=True)
class OpenedVerifier:
    """A verifier that is loaded, and how it is run.

    Attributes:
        note: is told which contexts are opened, for -v.
    """

    model: Model
    plan: ContextPlan
    options: options.ModelOptions
    note: Callable[[str], None]

    def engine(self) -> Engine:
        """Open the engine on it."""
        from stepkit.model.backend import open_engine

        return open_engine(self.model, self.plan, self.note)


def route(
    verifier: OpenedVerifier, profile: Profile, meta: Mapping[str, Any], extra: ExtraFiles
) -> tuple[Scorer, Opens]:
    """The scorer of a profile, and how to open its models.

    Raises UsageError for a file that is missing, does not fit, or is not needed.
    """
    if extra.head is not None and profile.kind != "hidden-head":
        raise UsageError(f'--head: the profile is of kind "{profile.kind}", which has none')
    if extra.reference is not None and profile.kind != "implicit":
        raise UsageError(f'--reference: the profile is of kind "{profile.kind}", which has none')
    if profile.kind == "implicit":
        return _implicit(verifier, profile, meta, extra)
    return _single(verifier.model, profile, meta, extra), {"": verifier.engine}


def _single(model: Model, profile: Profile, meta: Mapping[str, Any], extra: ExtraFiles) -> Scorer:
    from stepkit.model.profiles.reader import ProfileReader
    from stepkit.model.profiles.token_layout import TokenLayouter
    from stepkit.search.scorers.hidden_head import GraftedHeadScorer, HiddenHeadScorer
    from stepkit.search.scorers.token_logit import TokenLogitScorer

    if profile.kind == "token-logit":
        return TokenLogitScorer(ProfileReader(model, profile), meta)
    if profile.kind == "grafted":
        if max(profile.readout.rows) >= model.n_vocab or min(profile.readout.rows) < 0:
            raise UsageError('profile: "rows" outside the model\'s vocabulary')
        return GraftedHeadScorer(TokenLayouter(model, profile), meta)
    if extra.head is None:
        raise UsageError(
            "the model's scores come from a head that a GGUF cannot hold: give it with --head FILE "
            "(step-head takes it from the checkpoint)"
        )
    from stepkit.model.heads.head_network import check_fits, read_head

    head = read_head(extra.head)
    check_fits(head, model, profile.readout.outputs, f"--head {extra.head}")
    return HiddenHeadScorer(TokenLayouter(model, profile), head, {**meta, "head": head.fingerprint})


def _implicit(
    verifier: OpenedVerifier, profile: Profile, meta: Mapping[str, Any], extra: ExtraFiles
) -> tuple[Scorer, Opens]:
    from stepkit.model.backend import open_model
    from stepkit.model.profiles.token_layout import TokenLayouter
    from stepkit.search.scorers.implicit import REFERENCE, ImplicitScorer

    if extra.reference is None:
        raise UsageError(
            "the model's scores are against the model it was trained from: give that with "
            "--reference FILE"
        )
    reference = open_model(extra.reference, verifier.options, "--reference")
    if reference.vocabulary != verifier.model.vocabulary:
        raise UsageError(
            f"--reference {extra.reference}: has another vocabulary than the model, so their "
            "log-probabilities are of different tokens"
        )
    opened = OpenedVerifier(reference, verifier.plan, verifier.options, verifier.note)
    meta = {
        **meta,
        "reference": {"model": reference.fingerprint, "name": reference.name},
    }
    scorer = ImplicitScorer(TokenLayouter(verifier.model, profile), meta)
    return scorer, {"": verifier.engine, REFERENCE: opened.engine}
