"""A profile: how a trace is laid out for a process reward model and how it is read, as data.

As JSON a profile is one flat object (parsing.py). Here its fields are grouped by purpose: the text,
the marker, the read-out, the use of the numbers, how the model is recognised. Nothing here knows a
model; see token_layout.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

KINDS = ("token-logit", "hidden-head", "grafted", "implicit")
READ_AT = ("marker", "before", "last")
CLEANED = ("", "strip", "flatten")
APART = ("", "prompt", "all")
MAPS = ("softmax", "difference", "sigmoid", "tanh", "raw")
OWN_BOS = "{bos}"
PROFILE_KEY = "stepkit.profile"
"""Metadata key under which a GGUF or a head's file carries its profile, as JSON."""


@dataclass(frozen=True)
class ProfileToken:
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
class ProfileText:
    """The input of the model: the prompt, then for each step its format and the marker.

    Special tokens are recognised in these formats only, never in the values put into them. Text
    after the last position that is read changes nothing in a causal model and is left out.

    Attributes:
        prompt: the text before the first step, with {problem}, and optionally {reference}.
        chat: ``prompt`` is the user's message in the GGUF's own chat template; the steps are the
            assistant's reply.
        system: the system message of the chat; "": none.
        step: a step, with {step}, and optionally its {number} counted from 1. Text before {step}
            with which a step already starts is not repeated.
        joiner: the text between a marker and the next step.
        ending: the text after a prefix of the trace, where that is read and nowhere else; in an
            implicit model, after the whole.
        reference: {reference} for a record with an ``answer``, which is {answer} in it.
        no_reference: {reference} for a record without one.
        clean: "strip" removes white space from both ends of problem and steps; "flatten" also
            turns the line breaks inside a step into spaces.
        apart: the parts that are tokenised by themselves: "": none, adjacent text is one text;
            "prompt": the prompt; "all": the prompt and every step.
        bos: the first token; "" none, "{bos}" the GGUF's own, even where the GGUF says not to add
            it, None as the GGUF says.
    """

    prompt: str = "{problem}\n"
    chat: bool = False
    system: str = ""
    step: str = "{step}"
    joiner: str = ""
    ending: str = ""
    reference: str = ""
    no_reference: str = ""
    clean: str = ""
    apart: str = ""
    bos: str | None = None


@dataclass(frozen=True)
class ReadMark:
    """Where the model is read.

    Attributes:
        marker: the token after every step, put in by id.
        at: "marker": at the marker; "before": at the token before it, where the marker is the
            label of the training data; "last": at the last token of each prefix, without a marker.
        offset: with "last": that many tokens later, or earlier when negative.
        alone: no text may contain the marker: the model takes it for the end of a step.
        attempt: only the whole attempt is read, as one number.
    """

    marker: ProfileToken = ProfileToken("")
    at: str = "marker"
    offset: int = 0
    alone: bool = False
    attempt: bool = False


@dataclass(frozen=True)
class ProfileReadout:
    """What is read there, and how a number is made of it.

    Attributes:
        positive, negative: candidates of a token-logit model.
        head: kind of a hidden-head model's head: "linear", "mlp" (linear, ReLU, linear), or another
            that its file names.
        outputs: how many numbers the head gives; 0: any number.
        rows: of a grafted head: the tokens whose logits are its outputs.
        bias: of a grafted head: added to each output; empty: nothing.
        map: "softmax": the share of the outputs in ``good``; "difference": that share less the
            others'; "sigmoid": the mean of the outputs' sigmoids; "tanh", "raw": of the only one.
        good: outputs for a right step.
        beta: of an implicit model: the factor of the log-ratio.
        lead: of an implicit model: so many of the prompt's last tokens count with the response.
        cumulative: of an implicit model: a step's number is the value of the prefix that it ends.
    """

    positive: ProfileToken = ProfileToken("")
    negative: ProfileToken = ProfileToken("")
    head: str = ""
    outputs: int = 0
    rows: tuple[int, ...] = ()
    bias: tuple[float, ...] = ()
    map: str = "softmax"
    good: tuple[int, ...] = (0,)
    beta: float = 0.0
    lead: int = 0
    cumulative: bool = False

    def number(self, values: Sequence[float]) -> float:
        """The score for the outputs at one position.

        Args:
            values: the candidates' logits, positive first, or the head's outputs.
        """
        if self.map == "raw":
            return values[0]
        if self.map == "tanh":
            return math.tanh(values[0])
        if self.map == "sigmoid":
            return sum(map(_sigmoid, values)) / len(values)
        good = _log_sum([values[index] for index in self.good])
        others = [value for index, value in enumerate(values) if index not in self.good]
        share = _sigmoid(good - _log_sum(others))
        return 2.0 * share - 1.0 if self.map == "difference" else share


@dataclass(frozen=True)
class ProfileUse:
    """How its authors use the numbers; nothing here changes a score.

    Attributes:
        threshold: a step below it counts as wrong; None: none published.
        aggregate: how one number is made of an attempt's steps.
        longest: most tokens it was trained on; a longer trace is refused. 0: not known.
    """

    threshold: float | None = None
    aggregate: str = ""
    longest: int = 0


@dataclass(frozen=True)
class ProfileMatch:
    """How a GGUF of this family is recognised.

    Attributes:
        names: any of these is part of its name, of which only letters and digits count, in small
            letters.
        tokens: tokens of its vocabulary with their places, besides the marker and the candidates.
    """

    names: tuple[str, ...] = ()
    tokens: tuple[ProfileToken, ...] = ()


@dataclass(frozen=True)
class Profile:
    """A process reward model's protocol.

    Attributes:
        of: what the score means, one of schema.LABEL_KINDS.
        source: the paper or repository whose code the profile follows.
        note: what else a user must know, such as how the steps are cut.
    """

    name: str = ""
    kind: str = "token-logit"
    of: str = "validity"
    source: str = ""
    note: str = ""
    text: ProfileText = field(default_factory=ProfileText)
    mark: ReadMark = field(default_factory=ReadMark)
    readout: ProfileReadout = field(default_factory=ProfileReadout)
    use: ProfileUse = field(default_factory=ProfileUse)
    match: ProfileMatch = field(default_factory=ProfileMatch)

    def data(self) -> dict[str, Any]:
        """The fields that decide the scores and their meaning, where they differ from the defaults,
        flat, as parsing.py reads them; ``kind`` in any case."""
        data: dict[str, Any] = {}
        for section in (self, self.text, self.mark, self.readout, self.use):
            for each in fields(section):
                value = getattr(section, each.name)
                if each.default is not MISSING and (value != each.default or each.name == "kind"):
                    data[each.name] = _plain(value)
        return data


def _plain(value: Any) -> Any:
    """What JSON has for a field's value."""
    if isinstance(value, ProfileToken):
        return value.text if value.id is None else {"id": value.id, "text": value.text}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= -700.0 else 0.0


def _log_sum(values: Sequence[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(value - most) for value in values))
