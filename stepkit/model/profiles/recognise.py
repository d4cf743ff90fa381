"""Which profile a model's file is of: what it carries, else what its name and vocabulary say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stepkit.errors import UsageError
from stepkit.model.llama import Model
from stepkit.model.profiles.profile import Profile, check, from_data, from_json

METADATA_KEY = "stepkit.profile"


@dataclass(frozen=True)
class Recognised:
    """A profile, and how it was told."""

    profile: Profile
    by: str


def profile_of(model: Model, given: Mapping[str, str | None], beside: str = "") -> Recognised:
    """The profile in the model's metadata, overridden by what the user gave.

    Args:
        beside: JSON of the profile that the model's head carries, or "".

    Raises UsageError when neither says how to read the model.
    """
    carried = model.metadata(METADATA_KEY)
    profile, by = Profile(), "the options"
    if carried is not None:
        by = f"the model's metadata {METADATA_KEY}"
        profile = from_json(carried, by)
    elif beside:
        by = "the head's metadata"
        profile = from_json(beside, by)
    elif not given.get("marker"):
        raise UsageError(
            "the model carries no profile that says how to read it: give --marker, --positive and "
            "--negative"
        )
    told: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    profile = from_data(told, "the options", profile)
    check(profile, by)
    return Recognised(profile, by)
