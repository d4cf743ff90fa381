"""How a process reward model wants to be read: a profile, as data.

A token-logit PRM is a causal model that was trained to predict one of two tokens at a marker
that stands behind every step (Math-Shepherd, arXiv 2312.08935; RLHFlow; openr). Its profile may
travel in the GGUF itself, as JSON under the metadata key ``stepkit.profile``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from stepkit.errors import UsageError
from stepkit.model.chat import Encoder, fill
from stepkit.model.llama import Model
from stepkit.schema import LABEL_KINDS

METADATA_KEY = "stepkit.profile"


@dataclass(frozen=True)
class Profile:
    """A token-logit PRM's protocol.

    Attributes:
        prompt: format of what stands before the first step, with {problem}.
        step: format of a step, with {step}.
        marker, positive, negative: tokens by their text in the vocabulary, or ids as text.
        of: what the score means, one of schema.LABEL_KINDS.
    """

    kind: str = "token-logit"
    prompt: str = "{problem}\n"
    step: str = "{step}"
    marker: str = ""
    positive: str = ""
    negative: str = ""
    of: str = "validity"


def profile_of(model: Model, given: dict[str, str | None]) -> Profile:
    """The profile in the model's metadata, overridden by what the user gave.

    Raises UsageError when neither says how to read the model.
    """
    profile = Profile()
    carried = model.metadata(METADATA_KEY)
    if carried is not None:
        profile = _parse(carried)
    profile = replace(profile, **{key: value for key, value in given.items() if value is not None})
    if profile.kind != "token-logit":
        raise UsageError(f'the model\'s profile is of kind "{profile.kind}", not "token-logit"')
    for name in ("marker", "positive", "negative"):
        if not getattr(profile, name):
            raise UsageError(
                f"the model carries no profile that says its {name} token: give --{name}"
            )
    if profile.of not in LABEL_KINDS:
        raise UsageError(f'profile: "of" must be one of {", ".join(LABEL_KINDS)}')
    if "{problem}" not in profile.prompt or "{step}" not in profile.step:
        raise UsageError("profile: prompt needs {problem} in it, step needs {step}")
    return profile


def _parse(text: str) -> Profile:
    try:
        data: Any = json.loads(text)
    except ValueError as error:
        raise UsageError(f"the model's metadata {METADATA_KEY}: not JSON: {error}") from None
    known = {field.name for field in fields(Profile)}
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise UsageError(f"the model's metadata {METADATA_KEY}: expected an object of strings")
    if unknown := sorted(data.keys() - known):
        raise UsageError(f'the model\'s metadata {METADATA_KEY}: unknown key "{unknown[0]}"')
    return Profile(**data)


class Reader:
    """Lays traces out for a token-logit PRM and turns what it says into scores."""

    def __init__(self, model: Model, profile: Profile) -> None:
        self.profile = profile
        self._encoder = Encoder(model)
        self._marker = model.token(profile.marker, "--marker")
        self.candidates = (
            model.token(profile.positive, "--positive"),
            model.token(profile.negative, "--negative"),
        )
        if self.candidates[0] == self.candidates[1]:
            raise UsageError("--positive and --negative are the same token")

    def layout(self, problem: str, steps: Sequence[str]) -> tuple[tuple[int, ...], list[int]]:
        """Token ids of the whole input and the positions of the markers, one per step.

        Markers are put in by id; what looks like one in the text stays text.
        """
        ids = list(self._encoder.ids(fill(self.profile.prompt, problem=problem)))
        positions = []
        for step in steps:
            ids += self._encoder.plain(fill(self.profile.step, step=step))
            positions.append(len(ids))
            ids.append(self._marker)
        return tuple(ids), positions

    def score(self, logits: Sequence[float]) -> float:
        """Softmax over the two candidates' logits, the positive one's share."""
        positive, negative = logits
        return 1.0 / (1.0 + math.exp(min(negative - positive, 700.0)))
