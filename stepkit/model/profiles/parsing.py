"""Profiles from JSON: one flat object, every field typed and checked, errors with place and field.

They come from the shipped families, ``--profile FILE`` or the metadata of a GGUF.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, get_args, get_type_hints

from stepkit.errors import UsageError
from stepkit.model.profiles.profile import (
    APART,
    CLEANED,
    KINDS,
    MAPS,
    READ_AT,
    Profile,
    ProfileMatch,
    ProfileReadout,
    ProfileText,
    ProfileToken,
    ProfileUse,
    ReadMark,
)
from stepkit.schema import LABEL_KINDS, name_of

SECTIONS: dict[str, type] = {
    "text": ProfileText,
    "mark": ReadMark,
    "readout": ProfileReadout,
    "use": ProfileUse,
    "match": ProfileMatch,
}
SECTION_OF: dict[str, str] = {
    each.name: section
    for section, kind in {"": Profile, **SECTIONS}.items()
    for each in fields(kind)
    if each.name not in SECTIONS
}
"""Section of each flat field; "" for those of Profile itself."""


def from_json(text: str, place: str) -> Profile:
    """A checked profile. Raises UsageError naming ``place`` and the field."""
    try:
        data: Any = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{place}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UsageError(f"{place}: expected an object, got {name_of(data)}")
    return from_data(data, place)


def from_data(data: Mapping[str, Any], place: str, base: Profile | None = None) -> Profile:
    """``base`` with the flat fields ``data`` in it, checked. Raises UsageError."""
    base = base or Profile()
    fields_of: dict[str, dict[str, Any]] = {name: {} for name in ("", *SECTIONS)}
    for key, value in data.items():
        if key not in SECTION_OF:
            raise UsageError(f'{place}: unknown field "{key}"; fields are {", ".join(SECTION_OF)}')
        section = SECTION_OF[key]
        kind = get_type_hints(SECTIONS.get(section, Profile))[key]
        fields_of[section][key] = _typed(value, kind, f'{place}: field "{key}"')
    sections = {name: replace(getattr(base, name), **fields_of[name]) for name in SECTIONS}
    profile = replace(base, **fields_of[""], **sections)
    for key, what in _complaints(profile):
        raise UsageError(f'{place}: field "{key}": {what}')
    return profile


def _complaints(profile: Profile) -> Iterator[tuple[str, str]]:
    """The fields with which no model can be read, and what is wrong with them."""
    text, mark, readout = profile.text, profile.mark, profile.readout
    chosen = (
        ("kind", profile.kind, KINDS),
        ("of", profile.of, LABEL_KINDS),
        ("at", mark.at, READ_AT),
        ("clean", text.clean, CLEANED),
        ("apart", text.apart, APART),
        ("map", readout.map, MAPS),
    )
    for key, value, choices in chosen:
        if value not in choices:
            yield key, f'"{value}" is none of {", ".join(repr(choice) for choice in choices)}'
    if "{problem}" not in text.prompt:
        yield "prompt", "needs {problem} in it"
    if "{step}" not in text.step:
        yield "step", "needs {step} in it"
    if text.system and not text.chat:
        yield "system", 'goes with "chat": true'
    if mark.at != "last" and not mark.marker:
        yield "marker", 'needed, unless "at" is "last"'
    if mark.at == "last" and mark.marker:
        yield "marker", 'nothing is read there when "at" is "last"'
    if mark.at != "last" and (text.ending or mark.offset):
        yield "ending" if text.ending else "offset", 'goes with "at": "last"'
    if mark.offset > 0 and profile.kind != "implicit":
        yield "offset", "what comes next is only known to an implicit model"
    yield from _complaints_of_readout(profile.kind, mark, readout)


def _complaints_of_readout(
    kind: str, mark: ReadMark, readout: ProfileReadout
) -> Iterator[tuple[str, str]]:
    if kind == "implicit":
        if mark.at != "last":
            yield "at", 'an implicit model is read at "last"'
        if not readout.beta > 0:
            yield "beta", "needed by an implicit model, above 0"
        if readout.lead < 0:
            yield "lead", "a count of tokens"
        return
    if kind == "token-logit":
        for key, token in (("positive", readout.positive), ("negative", readout.negative)):
            if not token:
                yield key, "needed by a token-logit model"
    outputs = {"token-logit": 2, "grafted": len(readout.rows)}.get(kind, readout.outputs)
    if kind == "grafted":
        if not readout.rows:
            yield "rows", "needed by a model with a grafted head"
        if readout.bias and len(readout.bias) != outputs:
            yield "bias", f"{len(readout.bias)} numbers for {outputs} rows"
    if readout.map in ("softmax", "difference"):
        if not readout.good or not set(readout.good) < set(range(outputs)):
            yield "good", f"must be some, not all, of the {outputs} outputs, counted from 0"
    elif outputs != 1 and (readout.map, outputs) != ("sigmoid", 0):
        yield "outputs", f'"{readout.map}" is of one output'


def _typed(value: Any, kind: Any, place: str) -> Any:
    """``value`` as the field's type. Raises UsageError."""
    if kind is ProfileToken:
        return _token(value, place)
    if str(kind).startswith("tuple["):
        if not isinstance(value, list):
            raise UsageError(f"{place}: expected a list, got {name_of(value)}")
        return tuple(_typed(each, get_args(kind)[0], place) for each in value)
    allowed = get_args(kind) or (kind,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if any(type(value) is each for each in allowed):
        return value
    names = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
    expected = " or ".join(names.get(each, "null") for each in allowed)
    raise UsageError(f"{place}: expected {expected}, got {name_of(value)}")


def _token(value: Any, place: str) -> ProfileToken:
    if isinstance(value, str):
        return ProfileToken(value)
    if isinstance(value, dict) and value.keys() == {"id", "text"}:
        token = ProfileToken(value["text"], value["id"])
        if type(token.id) is int and isinstance(token.text, str):
            return token
    raise UsageError(f'{place}: expected a token, its text or {{"id": 7, "text": "..."}}')
