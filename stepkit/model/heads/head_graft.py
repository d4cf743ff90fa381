"""A linear head grafted into a GGUF: its rows replace output rows that no text needs.

llama.cpp refuses tensors that it does not know, but the logit of a token is its output row times
the hidden state, which is what a linear head computes. So the head's outputs are read like the
logits of candidates, and the file is a verifier by itself: its profile has the rows, and the bias
(few architectures have an output bias; in the profile it works for all).

All of the backbone is kept byte for byte, except the output matrix: quantised rows could hold the
head only roughly, so it is written in 16 or 32 bits. A model whose output matrix is its embedding
gets one of its own, since the embeddings of those tokens must stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from stepkit.errors import FailedError, UsageError, reason
from stepkit.model.heads.head_network import Head
from stepkit.model.profiles.parsing import from_data
from stepkit.model.profiles.profile import PROFILE_KEY, Profile

OUTPUT, EMBEDDING = "output.weight", "token_embd.weight"
ROWS_AT_A_TIME = 4096
_SPARE = re.compile(r"unused|reserved|\[PAD\d+\]", re.IGNORECASE)


def require_gguf() -> None:
    """Raise UsageError when the gguf package is not installed."""
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise UsageError("--graft writes GGUF files: pip install 'stepkit[gguf]'") from None


def graft(
    head: Head,
    profile: Profile,
    backbone: str,
    output: str,
    rows: Sequence[int] = (),
    wide: bool = False,
) -> Profile:
    """Write ``backbone`` with ``head`` in it to ``output``, which must be another file.

    Args:
        profile: how the model with its head is read.
        rows: tokens whose output rows are overwritten; empty: the first that no text yields.
        wide: write the output matrix in 32 bits, also where it was shorter.

    Returns:
        the profile of the written model.

    Raises UsageError for what cannot be grafted, FailedError when writing fails.
    """
    import gguf

    weight, bias = head.rows
    try:
        reader = gguf.GGUFReader(backbone)
    except (OSError, ValueError) as error:
        raise UsageError(f"--graft {backbone}: not a GGUF file: {error}") from None
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    matrix = tensors.get(OUTPUT, tensors.get(EMBEDDING))
    if matrix is None:
        raise UsageError(f"--graft {backbone}: has neither {OUTPUT} nor {EMBEDDING}")
    width, size = (int(length) for length in matrix.shape)
    if head.width != width:
        raise UsageError(
            f"--graft {backbone}: its states have {width} numbers, the head takes {head.width}"
        )
    chosen = tuple(rows) or _spare_tokens(reader, len(weight), profile)
    if len(set(chosen)) != len(weight) or not all(0 <= row < size for row in chosen):
        raise UsageError(
            f"--rows: expected {len(weight)} different tokens from 0 to {size - 1}, one an output"
        )
    grafted = _grafted(profile, chosen, bias.tolist())
    kind = gguf.GGMLQuantizationType
    stored = kind.F32 if wide or matrix.tensor_type == kind.F32 else kind.F16
    try:
        _write(reader, output, grafted, matrix, stored, dict(zip(chosen, weight, strict=True)))
    except OSError as error:
        raise FailedError(f"{output}: {reason(error)}") from None
    return grafted


def _grafted(profile: Profile, rows: tuple[int, ...], bias: list[float]) -> Profile:
    data = {**profile.data(), "kind": "grafted", "rows": list(rows)}
    if any(bias):
        data["bias"] = bias
    for key in ("head", "outputs"):
        data.pop(key, None)
    return from_data(data, "the grafted model's profile")


def _spare_tokens(reader: Any, count: int, profile: Profile) -> tuple[int, ...]:
    """The first tokens that only fill the vocabulary."""
    import gguf

    texts = reader.fields["tokenizer.ggml.tokens"].contents()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    never = {gguf.TokenType.UNUSED}
    special = {gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED}
    spare = [
        token
        for token, (text, kind) in enumerate(zip(texts, kinds, strict=True))
        if (kind in never or (kind in special and _SPARE.search(text)))
        and text != profile.mark.marker.text
    ]
    if len(spare) < count:
        raise UsageError(
            f"the vocabulary has {len(spare)} tokens that no text needs, the head {count} outputs: "
            "say with --rows which to give up"
        )
    return tuple(spare[:count])


def _write(
    reader: Any, output: str, profile: Profile, matrix: Any, stored: Any, rows: dict[int, Any]
) -> None:
    import gguf
    import numpy

    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(output, architecture, endianess=reader.endianess)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", PROFILE_KEY):
            continue
        array = field.types[0] == gguf.GGUFValueType.ARRAY
        inner = field.types[-1] if array else None
        if field.name == "general.alignment":
            writer.data_alignment = field.contents()
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    writer.add_string(PROFILE_KEY, json.dumps(profile.data(), ensure_ascii=False))
    width, size = (int(length) for length in matrix.shape)
    number = numpy.float32 if stored == gguf.GGMLQuantizationType.F32 else numpy.float16
    others = [tensor for tensor in reader.tensors if tensor.name != OUTPUT]
    for tensor in others:
        shape, data = tensor.data.shape, tensor.data
        writer.add_tensor_info(tensor.name, shape, data.dtype, data.nbytes, tensor.tensor_type)
    matrix_bytes = size * width * numpy.dtype(number).itemsize
    writer.add_tensor_info(OUTPUT, (size, width), numpy.dtype(number), matrix_bytes, stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in others:
        writer.write_tensor_data(tensor.data)
    writer.write_tensor_data(_filled(matrix, number, rows))
    writer.close()


def _filled(matrix: Any, number: Any, rows: dict[int, Any]) -> Any:
    """[tokens, width] the output matrix with the head's rows in it."""
    import gguf
    import numpy

    width, size = (int(length) for length in matrix.shape)
    filled = numpy.empty((size, width), number)
    for start in range(0, size, ROWS_AT_A_TIME):
        part = matrix.data[start : start + ROWS_AT_A_TIME]
        filled[start : start + len(part)] = gguf.quants.dequantize(part, matrix.tensor_type)
    for row, weight in rows.items():
        filled[row] = weight
    return filled
