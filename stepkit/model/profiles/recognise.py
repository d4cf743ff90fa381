"""Which profile a model's file is of: what it carries, else what its name and vocabulary say.

A guess that turned out wrong would be a silent mismatch, so a name counts only where the vocabulary
has the family's tokens at their places, and what fits several families is left to the user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stepkit.errors import UsageError
from stepkit.model.profiles.families import families, load_profile
from stepkit.model.profiles.parsing import from_data, from_json
from stepkit.model.profiles.profile import PROFILE_KEY, Profile
from stepkit.model.profiles.token_layout import LayoutVocabulary, token_id

AUTO = "auto"
NAME_KEYS = ("general.name", "general.basename", "general.finetune")


class ProfiledModel(LayoutVocabulary, Protocol):
    """What this module needs of a model: its vocabulary, and the file it comes from."""

    path: str


@dataclass(frozen=True)
class RecognisedProfile:
    """A profile, and what it was told by."""

    profile: Profile
    by: str


def profile_of(
    model: ProfiledModel,
    given: Mapping[str, str | None],
    asked: str | None = None,
    beside: str = "",
) -> RecognisedProfile:
    """The profile to read a model by, fields that the user gave put over it.

    Args:
        given: flat fields; None where the user said nothing.
        asked: a family, a file, or "auto" or None, which is to look at the model.
        beside: JSON of the profile that the model's head carries, or "": before the model's name.

    Raises UsageError when nothing says how to read the model, or when its vocabulary is not that
    of the profile.
    """
    told: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if asked not in (None, AUTO):
        found = RecognisedProfile(load_profile(asked), f"--profile {asked}")
    else:
        found = _recognised(model, beside) or _untold(model, told)
    check_vocabulary(model, found.profile, told)
    return RecognisedProfile(from_data(told, "the options", found.profile), found.by)


def check_vocabulary(
    model: ProfiledModel, profile: Profile, but: Mapping[str, Any] | None = None
) -> None:
    """Raise UsageError unless every token that ``profile`` places is there in the model's
    vocabulary; those named in ``but`` do not matter."""
    tokens = [
        (name, token)
        for name, token in (
            ("marker", profile.mark.marker),
            ("positive", profile.readout.positive),
            ("negative", profile.readout.negative),
        )
        if name not in (but or {})
    ]
    for name, token in (*tokens, *(("token", token) for token in profile.match.tokens)):
        if token.id is not None:
            token_id(model, token, name)


def _recognised(model: ProfiledModel, beside: str) -> RecognisedProfile | None:
    carried = model.metadata(PROFILE_KEY)
    if carried is not None:
        by = f"the model's metadata {PROFILE_KEY}"
        return RecognisedProfile(from_json(carried, by), by)
    if beside:
        return RecognisedProfile(from_json(beside, "the head's profile"), "the head's profile")
    said = {key: model.metadata(key) or "" for key in NAME_KEYS}
    said["its file's name"] = Path(model.path).stem
    for where, name in said.items():
        told = [one for one in families().values() if _is_named(one, name)]
        if told:
            fits = [one for one in told if _fits(model, one)]
            if not fits:
                check_vocabulary(model, told[0])
            return RecognisedProfile(_only(fits, f'{where} "{name}"'), f'{where} "{name}"')
    special = model.special_tokens()
    marked = [
        one
        for one in families().values()
        if special.get(one.mark.marker.text, -1) == one.mark.marker.id
        or (one.mark.marker.id is None and one.mark.marker.text in special)
    ]
    fits = [one for one in marked if _fits(model, one)]
    if not fits:
        return None
    by = f'its token "{fits[0].mark.marker.text}"'
    return RecognisedProfile(_only(fits, by), by)


def _is_named(profile: Profile, name: str) -> bool:
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return any(part in plain for part in profile.match.names)


def _fits(model: ProfiledModel, profile: Profile) -> bool:
    try:
        check_vocabulary(model, profile)
    except UsageError:
        return False
    return True


def _only(fits: Sequence[Profile], by: str) -> Profile:
    if len(fits) == 1:
        return fits[0]
    names = ", ".join(one.name for one in fits)
    raise UsageError(f"{by} fits several profiles: say which by --profile, one of {names}")


def _untold(model: ProfiledModel, told: Mapping[str, Any]) -> RecognisedProfile:
    """What the options alone describe."""
    if all(told.get(name) for name in ("marker", "positive", "negative")):
        return RecognisedProfile(from_data(told, "the options"), "the options")
    name = model.metadata("general.name") or Path(model.path).stem
    raise UsageError(
        f'"{name}" carries no profile, and its name and tokens are of no known family: give '
        "--profile (see --list-profiles), or --marker, --positive and --negative"
    )
