"""The profile of a model's file: the one that it carries, else by its name and vocabulary.

A wrong guess would be a silent mismatch, so a name counts only where the vocabulary has the tokens
of the family at their places, and where several families fit the user must choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stepkit.errors import UsageError
from stepkit.model.profiles.families import families, load_profile
from stepkit.model.profiles.parsing import from_data, from_json
from stepkit.model.profiles.profile import PROFILE_KEY, Profile
from stepkit.model.profiles.token_layout import LayoutVocabulary, token_id

AUTO = "auto"
NAME_KEYS = ("general.name", "general.basename", "general.finetune")


class ProfiledModel(LayoutVocabulary, Protocol):
    """What this module needs of a model: its vocabulary, and what it is called."""

    name: str


@dataclass(frozen=True)
class RecognisedProfile:
    """A profile, and by what it was recognised."""

    profile: Profile
    by: str


def profile_of(
    model: ProfiledModel,
    fields: Mapping[str, str | None],
    name: str | None = None,
    head_profile: str = "",
) -> RecognisedProfile:
    """The profile to read a model by, with the fields of the user in place of its own.

    Args:
        fields: flat fields of the user; None for those not given.
        name: a family or a file; "auto" or None recognises the model.
        head_profile: JSON of the profile that the model's head carries, or ""; it comes before the
            model's name.

    Raises UsageError when nothing says how to read the model, or when its vocabulary is not that
    of the profile.
    """
    own: dict[str, Any] = {key: value for key, value in fields.items() if value is not None}
    if name not in (None, AUTO):
        found = RecognisedProfile(load_profile(name), f"--profile {name}")
    else:
        found = _recognised(model, head_profile) or _from_options(model, own)
    check_vocabulary(model, found.profile, own)
    return RecognisedProfile(from_data(own, "the options", found.profile), found.by)


def check_vocabulary(
    model: ProfiledModel, profile: Profile, but: Mapping[str, Any] | None = None
) -> None:
    """Raise UsageError unless the model's vocabulary has every token of ``profile`` at its place,
    except those named in ``but``."""
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


def _recognised(model: ProfiledModel, head_profile: str) -> RecognisedProfile | None:
    carried = model.metadata(PROFILE_KEY)
    if carried is not None:
        by = f"the model's metadata {PROFILE_KEY}"
        return RecognisedProfile(from_json(carried, by), by)
    if head_profile:
        return RecognisedProfile(
            from_json(head_profile, "the head's profile"), "the head's profile"
        )
    names = {key: model.metadata(key) or "" for key in NAME_KEYS}
    names["its file's name"] = model.name.removesuffix(".gguf")
    for where, name in names.items():
        named = [one for one in families().values() if _is_named(one, name)]
        if named:
            fits = [one for one in named if _fits(model, one)]
            if not fits:
                check_vocabulary(model, named[0])
            return RecognisedProfile(_only(fits, f'{where} "{name}"'), f'{where} "{name}"')
    # white space is a token of its own in many a base model (gemma's "\n"), and tells no family
    special = {text: token for text, token in model.special_tokens().items() if text.strip()}
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


def _from_options(model: ProfiledModel, fields: Mapping[str, Any]) -> RecognisedProfile:
    """The profile that the options alone describe."""
    if all(fields.get(name) for name in ("marker", "positive", "negative")):
        return RecognisedProfile(from_data(fields, "the options"), "the options")
    name = model.metadata("general.name") or model.name.removesuffix(".gguf")
    raise UsageError(
        f'"{name}" carries no profile, and its name and tokens are of no known family: give '
        "--profile (see --list-profiles), or --marker, --positive and --negative"
    )
