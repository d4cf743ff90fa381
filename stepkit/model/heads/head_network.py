"""Heads of hidden-state process reward models: small networks on the backbone's last states.

llama.cpp loads none of them (a GGUF with tensors that it does not know fails to load), so they are
kept next to the model, in a safetensors file with the layers' tensors under the names below:

    linear      weight [outputs, width], bias [outputs]
    mlp         0.weight [inner, width], 0.bias, then ReLU, then 2.weight [outputs, inner], 2.bias
                (Qwen2.5-Math-PRM, arXiv:2501.07301)
    gain        weight [outputs, width], then times gain, plus bias (OVM, arXiv:2311.09724)
    ensemble    N.0.weight ... N.2.bias for N = 0, 1, ...: several mlp, whose outputs are
                concatenated (ActPRM, arXiv:2504.10559, which takes the mean of their sigmoids)

A bias may be missing. The profile maps the outputs to a score (softmax, sigmoid, tanh).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from stepkit.errors import UsageError
from stepkit.model.heads.safetensors import TensorPlace, encode_tensors, open_tensors
from stepkit.model.profiles.profile import PROFILE_KEY
from stepkit.seeds import digest

KINDS = ("linear", "mlp", "gain", "ensemble")
PREFIXES = ("score", "v_head.summary", "v_head", "reward_head", "value_head", "classifier")
"""Where published checkpoints keep their heads: Qwen2.5-Math-PRM and TRL under ``score``, Skywork
under ``v_head.summary``."""
KIND_KEY, SOURCE_KEY, BACKBONE_KEY = "stepkit.head", "source", "stepkit.backbone"


@dataclass(frozen=True)
class Head:
    """The weights of a head, which computes its outputs from hidden states when called.

    Attributes:
        kind: one of KINDS.
        tensors: float32 arrays by the names above.
        source: name of each tensor in the checkpoint it was taken from.
        profile: JSON of the profile that the model is read by, or "".
        backbone: fingerprint of the only GGUF file that it fits, or "" when unknown.

    Raises UsageError when the tensors are not those of a head of its kind.
    """

    kind: str
    tensors: Mapping[str, Any]
    source: Mapping[str, str] = field(default_factory=dict)
    profile: str = ""
    backbone: str = ""

    def __post_init__(self) -> None:
        parts = [self._part(prefix) for prefix in self._prefixes]
        if not parts or {name for part in parts for name in part} - set(_SHAPES):
            raise UsageError(f'not the tensors of a head of kind "{self.kind}"')
        for part in parts:
            _check(part, self.kind)

    def __call__(self, states: Any) -> Any:
        """[rows, outputs] of [rows, width]: each row by itself, so that its numbers do not depend
        on how many rows there are (matrix products round by their shape)."""
        import numpy

        return numpy.stack([self._outputs(state) for state in states])

    @property
    def width(self) -> int:
        """Numbers in a hidden state that it takes."""
        part = self._part(self._prefixes[0])
        return int(part["0.weight" if "0.weight" in part else "weight"].shape[1])

    @property
    def outputs(self) -> int:
        """Numbers that it gives."""
        parts = [self._part(prefix) for prefix in self._prefixes]
        last = "2.weight" if "2.weight" in parts[0] else "weight"
        return sum(len(part[last]) for part in parts)

    @property
    def fingerprint(self) -> str:
        """Identity of its weights."""
        pairs = sorted(self.tensors.items())
        return digest(self.kind, [[name, a.shape, a.tobytes()] for name, a in pairs])

    @property
    def rows(self) -> tuple[Any, Any]:
        """Weight [outputs, width] and bias [outputs] of a head that is linear. Raises UsageError
        for one that is not."""
        import numpy

        if self.kind not in ("linear", "gain"):
            raise UsageError(f'a head of kind "{self.kind}" is not linear: it cannot be grafted')
        weight = self.tensors["weight"]
        bias = self.tensors.get("bias", numpy.zeros(1, numpy.float32))
        gain = self.tensors.get("gain", numpy.ones(1, numpy.float32))
        return weight * gain.reshape(-1, 1), numpy.broadcast_to(bias.reshape(-1), len(weight))

    def encode(self) -> bytes:
        """The safetensors file."""
        metadata = {KIND_KEY: self.kind}
        metadata |= {f"{SOURCE_KEY}.{name}": value for name, value in self.source.items()}
        if self.profile:
            metadata[PROFILE_KEY] = self.profile
        if self.backbone:
            metadata[BACKBONE_KEY] = self.backbone
        return encode_tensors(self.tensors, metadata)

    @property
    def _prefixes(self) -> list[str]:
        if self.kind != "ensemble":
            return [""]
        numbers = {int(name.split(".")[0]) for name in self.tensors if name[:1].isdigit()}
        return [f"{number}." for number in range(len(numbers))]

    def _part(self, prefix: str) -> dict[str, Any]:
        names = [name for name in self.tensors if name.startswith(prefix)]
        return {name.removeprefix(prefix): self.tensors[name] for name in names}

    def _outputs(self, state: Any) -> Any:
        import numpy

        return numpy.concatenate([_applied(self._part(prefix), state) for prefix in self._prefixes])


_SHAPES = {
    "weight": 2,
    "bias": 1,
    "gain": 1,
    "0.weight": 2,
    "0.bias": 1,
    "2.weight": 2,
    "2.bias": 1,
}
_NEEDED = {
    "linear": {"weight"},
    "gain": {"weight", "gain"},
    "mlp": {"0.weight", "2.weight"},
    "ensemble": {"0.weight", "2.weight"},
}
_OPTIONAL = {"linear": {"bias"}, "gain": {"bias"}}


def _check(part: Mapping[str, Any], kind: str) -> None:
    needed, allowed = _NEEDED[kind], _OPTIONAL.get(kind, {"0.bias", "2.bias"})
    if not needed <= part.keys() <= needed | allowed:
        raise UsageError(f'not the tensors of a head of kind "{kind}": {", ".join(sorted(part))}')
    for name, array in part.items():
        flat = _SHAPES[name] == 1 and array.ndim <= 1
        if not flat and array.ndim != _SHAPES[name]:
            raise UsageError(f'a head\'s "{name}" of shape {list(array.shape)}')
    for layer in ("", "0.", "2."):
        bias = part.get(f"{layer}bias")
        if bias is not None and bias.size not in (1, len(part[f"{layer}weight"])):
            raise UsageError(f'a head\'s "{layer}bias" of {bias.size} numbers')
    if "2.weight" in part and part["2.weight"].shape[1] != len(part["0.weight"]):
        raise UsageError("a head's two layers do not fit each other")


def _applied(part: Mapping[str, Any], state: Any) -> Any:
    if "2.weight" in part:
        inner = part["0.weight"] @ state + part.get("0.bias", 0)
        return part["2.weight"] @ inner.clip(min=0) + part.get("2.bias", 0)
    return (part["weight"] @ state) * part.get("gain", 1) + part.get("bias", 0)


def from_checkpoint(
    tensors: Mapping[str, TensorPlace], prefix: str | None, profile: str = ""
) -> Head:
    """The head among a checkpoint's tensors: those under ``prefix``, else under a known one.

    Raises UsageError when there is none, or it is of no kind that is known.
    """
    prefixes = PREFIXES if prefix is None else (prefix.rstrip("."),)
    for start in prefixes:
        own = {
            name.removeprefix(f"{start}."): name for name in tensors if name.startswith(f"{start}.")
        }
        kind = _kind(set(own))
        if kind is not None:
            arrays = {short: tensors[name].read() for short, name in sorted(own.items())}
            return Head(kind, arrays, dict(sorted(own.items())), profile)
    others = sorted(name for name in tensors if not name.startswith(("model.", "lm_head.")))
    seen = ", ".join(others[:8]) or "nothing but a backbone's"
    raise UsageError(
        f"no head among the tensors under {', '.join(prefixes)}; there is {seen}: "
        "say under which name it lies with --tensors"
    )


def _kind(names: set[str]) -> str | None:
    for kind in ("linear", "gain", "mlp"):
        if _NEEDED[kind] <= names <= _NEEDED[kind] | _OPTIONAL.get(kind, {"0.bias", "2.bias"}):
            return kind
    if names and all(re.fullmatch(r"\d+\.[02]\.(weight|bias)", name) for name in names):
        return "ensemble"
    return None


def read_head(path: str) -> Head:
    """The head in a file that step-head wrote. Raises UsageError."""
    file = open_tensors(path)
    kind = file.metadata.get(KIND_KEY)
    if kind not in KINDS:
        raise UsageError(f"--head {path}: not a head; step-head takes one from a checkpoint")
    marks = f"{SOURCE_KEY}."
    source = {
        name.removeprefix(marks): value
        for name, value in file.metadata.items()
        if name.startswith(marks)
    }
    arrays = {name: tensor.read() for name, tensor in file.by_name.items()}
    profile, backbone = (file.metadata.get(key, "") for key in (PROFILE_KEY, BACKBONE_KEY))
    return Head(kind, arrays, source, profile, backbone)


class Backbone(Protocol):
    """What this module needs of a model."""

    @property
    def width(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...


def check_fits(head: Head, model: Backbone, outputs: int, place: str) -> None:
    """Raise UsageError unless the head is for this model and gives as many outputs as the profile
    reads (0: any number): numbers from another head look like scores."""
    if head.width != model.width:
        raise UsageError(
            f"{place}: a head for states of {head.width} numbers; the model's have {model.width}"
        )
    if head.backbone not in ("", model.fingerprint):
        raise UsageError(
            f"{place}: a head for the backbone {head.backbone}; the model is {model.fingerprint}: "
            "take the head anew with step-head --backbone"
        )
    if outputs and head.outputs != outputs:
        raise UsageError(
            f"{place}: a head of {head.outputs} outputs, where the profile reads {outputs}"
        )
