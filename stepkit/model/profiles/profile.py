"""A profile: how a process reward model wants to be given a trace and how it is read, as data.

A profile is a flat JSON object (families/*.json, ``--profile FILE``, or the metadata key
``stepkit.profile`` of a GGUF). Here it is cut by what a field is for: the text, the marker, the
read-out, and what the numbers are good for. Nothing here knows a model; see layout.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_args, get_type_hints

from stepkit.errors import UsageError
from stepkit.schema import LABEL_KINDS, name_of

KINDS = ("token-logit", "hidden-head", "grafted", "implicit")
READ_AT = ("marker", "before", "last")
CLEANED = ("", "strip", "flatten")
MAPS = ("softmax", "difference", "sigmoid", "tanh", "raw")


@dataclass(frozen=True)
class Token:
    """A token of a vocabulary.

    Attributes:
        text: as the vocabulary has it, or the bytes that it stands for.
        id: where it must stand; None where the text alone says which it is.
    """

    text: str
    id: int | None = None

    def __bool__(self) -> bool:
        return bool(self.text) or self.id is not None


@dataclass(frozen=True)
class Text:
    """What the model is given: prompt, then for each step its format and the marker.

    Special tokens are recognised in these formats only, never in what is put into them. What would
    stand behind the last position that is read changes nothing in a causal model and is left out.

    Attributes:
        prompt: what stands before the first step, with {problem}, and {reference} where wanted.
        step: a step, with {step}, and its {number} counted from 1 where wanted.
        joiner: what stands between a marker and the next step.
        ending: follows a beginning of the trace where that is read and nowhere else.
        reference: what {reference} is for a record with an ``answer``, which is {answer} in it.
        no_reference: what {reference} is for a record without one.
        clean: "strip" takes white space off both ends of problem and steps; "flatten" also makes
            the line breaks inside a step spaces.
        apart: the prompt and each step are tokenised alone; else text that meets is one text.
        bos: the token that comes first; "" none, None what the GGUF says.
    """

    prompt: str = "{problem}\n"
    step: str = "{step}"
    joiner: str = ""
    ending: str = ""
    reference: str = ""
    no_reference: str = ""
    clean: str = ""
    apart: bool = False
    bos: str | None = None


@dataclass(frozen=True)
class Mark:
    """Where the model is read.

    Attributes:
        marker: the token behind every step, put in by id.
        at: "marker": at the marker; "before": at the token before it, the marker being the label
            that a teacher puts in; "last": at the last token of each beginning, without a marker.
        alone: no text may contain the marker: the model takes it for the end of a step.
        attempt: only the whole attempt is read, as one number.
    """

    marker: Token = Token("")
    at: str = "marker"
    alone: bool = False
    attempt: bool = False


@dataclass(frozen=True)
class Readout:
    """What is read there, and how it becomes a number.

    Attributes:
        positive, negative: candidates of a token-logit model.
        head: layers of a hidden-head model's head: "linear", "mlp" (linear, ReLU, linear),
            "gain" (linear, then gain and bias) or "ensemble" (the mean of several sigmoid heads).
        outputs: how many numbers the head gives.
        rows: of a grafted head: the tokens whose logits are its outputs.
        bias: of a grafted head: what is added to each; empty: nothing.
        map: "softmax": the share of the outputs in ``good``; "difference": that share less the
            others'; "sigmoid", "tanh", "raw": of the only output.
        good: outputs that speak for the step.
        beta: of an implicit model: what the log-ratio is multiplied by.
        cumulative: of an implicit model: a step's number is that of the beginning up to it.
    """

    positive: Token = Token("")
    negative: Token = Token("")
    head: str = ""
    outputs: int = 0
    rows: tuple[int, ...] = ()
    bias: tuple[float, ...] = ()
    map: str = "softmax"
    good: tuple[int, ...] = (0,)
    beta: float = 0.0
    cumulative: bool = False

    def number(self, values: Sequence[float]) -> float:
        """The score that the outputs at one position stand for.

        Args:
            values: the candidates' logits, positive first, or the head's outputs.
        """
        if self.map == "raw":
            return values[0]
        if self.map == "tanh":
            return math.tanh(values[0])
        if self.map == "sigmoid":
            return _sigmoid(values[0])
        good = _log_sum([values[index] for index in self.good])
        rest = [value for index, value in enumerate(values) if index not in self.good]
        share = _sigmoid(good - _log_sum(rest))
        return 2.0 * share - 1.0 if self.map == "difference" else share


@dataclass(frozen=True)
class Use:
    """What the numbers were used for; nothing here changes a score.

    Attributes:
        threshold: a step below it was taken for wrong; None: none published.
        aggregate: how its authors make one number of an attempt's steps.
        longest: most tokens it was trained on; a longer trace is refused. 0: not known.
    """

    threshold: float | None = None
    aggregate: str = ""
    longest: int = 0


@dataclass(frozen=True)
class Match:
    """How a GGUF of this family is recognised.

    Attributes:
        names: each a part of its name, in small letters and digits only.
        tokens: what its vocabulary must have where.
    """

    names: tuple[str, ...] = ()
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True)
class Profile:
    """A process reward model's protocol.

    Attributes:
        of: what the score means, one of schema.LABEL_KINDS.
        source: the paper or repository whose code the profile follows.
    """

    name: str = ""
    kind: str = "token-logit"
    of: str = "validity"
    source: str = ""
    text: Text = field(default_factory=Text)
    mark: Mark = field(default_factory=Mark)
    readout: Readout = field(default_factory=Readout)
    use: Use = field(default_factory=Use)
    match: Match = field(default_factory=Match)

    def data(self) -> dict[str, Any]:
        """The fields that differ from their defaults, flat, ``kind`` always among them."""
        told: dict[str, Any] = {}
        for section in (self, *(getattr(self, name) for name in SECTIONS)):
            for each in fields(section):
                value = getattr(section, each.name)
                if each.name in SECTIONS or (value == _default(each) and each.name != "kind"):
                    continue
                told[each.name] = _plain(value)
        return told


SECTIONS: dict[str, type] = {
    "text": Text,
    "mark": Mark,
    "readout": Readout,
    "use": Use,
    "match": Match,
}
FIELDS: dict[str, str] = {
    each.name: section
    for section, kind in {"": Profile, **SECTIONS}.items()
    for each in fields(kind)
    if each.name not in SECTIONS
}
"""Section of each flat field; "" for those of Profile itself."""


def from_json(text: str | bytes, place: str) -> Profile:
    """A profile from JSON. Raises UsageError naming ``place`` and the field."""
    try:
        data: Any = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{place}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UsageError(f"{place}: expected an object, got {name_of(data)}")
    return from_data(data, place)


def from_data(data: Mapping[str, Any], place: str, base: Profile | None = None) -> Profile:
    """``base`` with the flat fields ``data`` in it. Raises UsageError."""
    base = base or Profile()
    sorted_out: dict[str, dict[str, Any]] = {name: {} for name in ("", *SECTIONS)}
    for key, value in data.items():
        if key not in FIELDS:
            raise UsageError(f'{place}: unknown field "{key}"; fields are {", ".join(FIELDS)}')
        kind = SECTIONS.get(FIELDS[key], Profile)
        sorted_out[FIELDS[key]][key] = _typed(value, _types(kind)[key], f'{place}: field "{key}"')
    sections = {
        name: kind(**{**vars(getattr(base, name)), **sorted_out[name]})
        for name, kind in SECTIONS.items()
    }
    own = {key: getattr(base, key) for key, section in FIELDS.items() if not section}
    return Profile(**{**own, **sorted_out[""], **sections})


def check(profile: Profile, place: str) -> None:
    """Raise UsageError naming ``place`` and the field unless a model could be read by it."""

    def refuse(key: str, what: str) -> None:
        raise UsageError(f'{place}: field "{key}": {what}')

    def one_of(key: str, value: str, choices: Sequence[str]) -> None:
        if value not in choices:
            known = ", ".join(f'"{choice}"' for choice in choices)
            refuse(key, f'"{value}" is none of {known}')

    text, mark, readout = profile.text, profile.mark, profile.readout
    one_of("kind", profile.kind, KINDS)
    one_of("of", profile.of, LABEL_KINDS)
    one_of("at", mark.at, READ_AT)
    one_of("clean", text.clean, CLEANED)
    one_of("map", readout.map, MAPS)
    if "{problem}" not in text.prompt:
        refuse("prompt", "needs {problem} in it")
    if "{step}" not in text.step:
        refuse("step", "needs {step} in it")
    if mark.at != "last" and not mark.marker:
        refuse("marker", 'needed, unless "at" is "last"')
    if mark.at == "last" and mark.marker:
        refuse("marker", 'nothing is read there when "at" is "last"')
    if text.ending and mark.at != "last":
        refuse("ending", 'goes with "at": "last"')
    if profile.kind == "token-logit":
        for key, token in (("positive", readout.positive), ("negative", readout.negative)):
            if not token:
                refuse(key, "needed by a token-logit model")
    grafted = profile.kind == "grafted"
    outputs = 2 if profile.kind == "token-logit" else readout.outputs
    if grafted:
        outputs = len(readout.rows)
        if not outputs:
            refuse("rows", "needed by a model with a grafted head")
        if readout.bias and len(readout.bias) != outputs:
            refuse("bias", f"{len(readout.bias)} numbers for {outputs} rows")
    if profile.kind == "hidden-head" and outputs < 1:
        refuse("outputs", "needed by a model with a head")
    if profile.kind == "implicit":
        if not readout.beta > 0:
            refuse("beta", "needed by an implicit model, above 0")
    elif readout.map in ("softmax", "difference"):
        if not readout.good or not set(readout.good) < set(range(outputs)):
            refuse("good", f"some but not all of the outputs 0 to {outputs - 1}")
    elif outputs != 1:
        refuse("map", f'"{readout.map}" is of one output, not of {outputs}')


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= -700.0 else 0.0


def _log_sum(values: Sequence[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))


def _default(each: Any) -> Any:
    return each.default if each.default is not MISSING else None


def _plain(value: Any) -> Any:
    """What JSON has for a field's value."""
    if isinstance(value, Token):
        return value.text if value.id is None else {"id": value.id, "text": value.text}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _typed(value: Any, wanted: Any, place: str) -> Any:
    """``value`` as the field's type has it. Raises UsageError."""
    if wanted is Token:
        return _token(value, place)
    if str(wanted).startswith("tuple["):
        if not isinstance(value, list):
            raise UsageError(f"{place}: expected a list, got {name_of(value)}")
        return tuple(_typed(each, get_args(wanted)[0], place) for each in value)
    allowed = get_args(wanted) or (wanted,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if any(type(value) is each for each in allowed):
        return value
    names = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
    expected = " or ".join(names.get(each, "null") for each in allowed)
    raise UsageError(f"{place}: expected {expected}, got {name_of(value)}")


def _token(value: Any, place: str) -> Token:
    if isinstance(value, str):
        return Token(value)
    if isinstance(value, dict) and value.keys() == {"id", "text"}:
        token = Token(value["text"], value["id"])
        if type(token.id) is int and isinstance(token.text, str):
            return token
    raise UsageError(f'{place}: expected a token, its text or {{"id": 7, "text": "..."}}')
