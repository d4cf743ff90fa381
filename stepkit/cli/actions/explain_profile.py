"""step-score --explain: the tokens of a verifier's prompt, and which of them are read, for people.

Only the vocabulary of the model is loaded. The layout is the scorers' own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from stepkit.errors import UsageError
from stepkit.runner import options, run

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.model.local.llama import Model
    from stepkit.model.profiles.profile import Profile
    from stepkit.model.profiles.recognise import RecognisedProfile
    from stepkit.model.profiles.token_layout import TokenLayout, TokenLayouter

READ_AT = {
    "marker": "at the marker after every step",
    "before": "before the label after every step",
    "last": "at the last token of every prefix",
}


def explain(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    fields: Mapping[str, str | None],
    named: str | None,
    carried: str,
) -> None:
    """Print the profile, and every token of the first record with the positions that are read.

    Args:
        fields: fields of the profile that the user gives; None: as the profile has it.
        named: the profile that the user names: a family, a file, or None.
        carried: JSON of the profile that a head carries, or "".

    Raises UsageError, and DataError for a record that cannot be laid out.
    """
    from stepkit import schema
    from stepkit.model.local.llama import Model
    from stepkit.model.profiles.recognise import profile_of
    from stepkit.model.profiles.token_layout import TokenLayouter

    assert model.model is not None
    if streams.output != run.STANDARD or streams.journal or streams.resume:
        raise UsageError("--explain writes no records: leave out -o, --journal and --resume")
    opened = Model(model.model, option="--prm", vocabulary_only=True)
    recognised = profile_of(opened, fields, named, carried)
    writer = TokenLayouter(opened, recognised.profile)

    def show(record: Record) -> list[Record]:
        steps = schema.steps(record.data)
        laid = writer.layout(record.data, steps)
        for line in _lines(opened, recognised, writer, laid, len(steps)):
            click.echo(line)
        return []

    run.blocks(replace(streams, limit=1), run.each(show))


def _lines(
    model: Model,
    recognised: RecognisedProfile,
    writer: TokenLayouter,
    laid: TokenLayout,
    steps: int,
) -> Iterator[str]:
    profile = recognised.profile
    yield f"profile    {profile.name or profile.kind}, by {recognised.by}"
    for name in ("source", "note"):
        if value := getattr(profile, name):
            yield f"{name:<10} {value}"
    yield f"read       {_read(profile)}"
    yield f"candidates {_candidates(model, writer)}"
    yield f"number     {_number(profile)}"
    yield f"meaning    {_meaning(profile)}"
    yield f"tokens     {len(laid.ids)} for {steps} steps; {len(laid.positions)} positions are read"
    yield ""
    numbers: dict[int, list[int]] = {}
    for index, position in enumerate(laid.positions):
        numbers.setdefault(position, []).append(index)
    first = steps - len(laid.positions)
    width = len(str(model.n_vocab - 1))
    for at, token in enumerate(laid.ids):
        here = [index for index in numbers.get(at, []) if not _suffix(laid, index)]
        read = "".join(f"  <- step {first + index + 1}" for index in here)
        yield f"{at:>6} {token:>{width}} {_shown(model, token)}{read}"
        for index in numbers.get(at, []):
            suffix = _suffix(laid, index)
            for place, branched in enumerate(suffix, 1):
                read = f"  <- step {first + index + 1}" if place == len(suffix) else ""
                yield f"{'|':>6} {branched:>{width}} {_shown(model, branched)}{read}"


def _suffix(laid: TokenLayout, index: int) -> tuple[int, ...]:
    return laid.suffixes[index] if laid.suffixes else ()


def _shown(model: Model, token: int) -> str:
    """A token as a JSON string; a control token, which stands for no bytes, bare."""
    import json

    piece = model.detokenize((token,))
    if not piece:
        return model.token_text(token)
    return json.dumps(piece.decode("utf-8", "backslashreplace"), ensure_ascii=False)


def _read(profile: Profile) -> str:
    what = {
        "token-logit": "two logits",
        "hidden-head": "a head on the hidden state",
        "grafted": "logits of a grafted head",
        "implicit": "log-probabilities under two models",
    }[profile.kind]
    if profile.kind == "implicit":
        return what
    where = "at the last token of the attempt" if profile.mark.attempt else READ_AT[profile.mark.at]
    early = f", {-profile.mark.offset} early" if profile.mark.offset else ""
    return f"{what} {where}{early}"


def _candidates(model: Model, writer: TokenLayouter) -> str:
    from stepkit.model.profiles.reader import ProfileReader

    profile, readout = writer.profile, writer.profile.readout
    grafted = profile.kind != "token-logit"
    pair = readout.rows if grafted else ProfileReader(model, profile).candidates
    if pair:
        return ", ".join(f"{token} {_shown(model, token)}" for token in pair)
    return f"a head of form {readout.head}" if readout.head else "none"


def _number(profile: Profile) -> str:
    readout = profile.readout
    if profile.kind == "implicit":
        span = "from the first step to this one" if readout.cumulative else "of the step"
        return f"{readout.beta:g} times the sum of log-ratios {span}"
    good = " and ".join(map(str, readout.good))
    return {
        "softmax": f"softmax, the share of output {good} (counted from 0)",
        "difference": f"softmax, the share of output {good} less that of the others",
        "sigmoid": "sigmoid" if readout.outputs == 1 else "mean of sigmoids",
        "tanh": "hyperbolic tangent",
        "raw": "the output itself",
    }[readout.map]


def _meaning(profile: Profile) -> str:
    use = profile.use
    parts: list[Any] = [profile.of]
    if use.threshold is not None:
        parts.append(f"wrong below {use.threshold:g}")
    if use.aggregate:
        parts.append(f"an attempt by {use.aggregate}")
    if use.longest:
        parts.append(f"trained on {use.longest} tokens at most")
    return "; ".join(parts)
