"""GGUF files made on the spot: a random-weight Llama of any shape over a byte vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np

END = 256
MARKS = ("<|end|>", "<|step|>", "<|good|>", "<|bad|>")
MERGES = ("Ġ t", "a b", "ab c", ". Ċ")
"""A few merges, so that tokens cross the cuts that tests make."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    hidden: int
    context: int

    def tell(self, writer: gguf.GGUFWriter) -> None:
        """Write them into the metadata."""
        writer.add_context_length(self.context)
        writer.add_embedding_length(self.width)
        writer.add_block_count(self.layers)
        writer.add_feed_forward_length(self.hidden)
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.kv_heads)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_dimension_count(self.width // self.heads)


def byte_letters() -> list[str]:
    """The printable stand-ins of the 256 bytes in a byte-level vocabulary (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    for count, byte in enumerate(byte for byte in range(256) if byte not in letters):
        letters[byte] = chr(256 + count)
    return [letters[byte] for byte in range(256)]


def write_llama(
    path: Path,
    *,
    layers: int = 2,
    width: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    hidden: int = 128,
    context: int = 512,
    vocabulary: int = 0,
    template: str | None = None,
    profile: str | None = None,
    name: str | None = None,
    marks: tuple[str, ...] = MARKS,
    seed: int = 0,
    scale: float = 1.0,
    tied: bool = False,
    spare: int = 0,
    long_rope: int = 0,
    split: int = 0,
) -> Path:
    """Write a Llama with Gaussian weights in F32. ``vocabulary`` pads the vocabulary with
    words that no text is tokenised to; ``marks`` are its control tokens, the first of which ends
    a text; ``tied``: the output matrix is the embedding; ``spare`` tokens that nothing yields end
    the vocabulary; ``long_rope``: contexts of more tokens have other rope factors; ``split``:
    tensors in each of several files, the first of which is returned."""
    shape = Shape(layers, width, heads, kv_heads, hidden, context)
    tokens = [*byte_letters(), *marks, *(merge.replace(" ", "") for merge in MERGES)]
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    for mark in range(END, END + len(marks)):
        kinds[mark] = gguf.TokenType.CONTROL
    while len(tokens) < vocabulary:
        tokens.append(f"Ġ{len(tokens)}")
        kinds.append(gguf.TokenType.NORMAL)
    tokens += [f"[PAD{number}]" for number in range(spare)]
    kinds += [gguf.TokenType.UNUSED] * spare
    writer = gguf.GGUFWriter(str(path), "llama", split_max_tensors=split)
    shape.tell(writer)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(list(MERGES))
    writer.add_eos_token_id(END)
    writer.add_add_bos_token(False)
    if name is not None:
        writer.add_name(name)
    if template is not None:
        writer.add_chat_template(template)
    if profile is not None:
        writer.add_string("stepkit.profile", profile)
    if long_rope:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_orig_ctx_len(long_rope)
        for kind, factor in (("short", 1.0), ("long", 4.0)):
            factors = np.full(width // heads // 2, factor, np.float32)
            writer.add_tensor(f"rope_factors_{kind}.weight", factors)

    _finish(writer, shape, len(tokens), seed, scale, tied)
    return min(path.parent.glob(f"{path.stem}-00001-of-*.gguf")) if split else path


def write_behind(
    vocabulary: Path,
    target: Path,
    *,
    tokens: Mapping[int, tuple[str, int]] | None = None,
    swapped: Sequence[tuple[int, str]] = (),
    name: str | None = None,
    template: str | None = None,
    context: int = 2048,
    seed: int = 0,
) -> Path:
    """Put the random weights of a tiny Llama after a GGUF that has a vocabulary only.

    Args:
        tokens: other texts and types (gguf.TokenType) for some ids.
        swapped: (id, text) pairs: the token with that text changes places with the one at id.
        name, template: general.name and the chat template.
    """
    shape = Shape(layers=1, width=32, heads=2, kv_heads=1, hidden=48, context=context)
    reader = gguf.GGUFReader(str(vocabulary))
    kept = {key: field for key, field in reader.fields.items() if key.startswith("tokenizer.")}
    values = {key: field.contents() for key, field in kept.items()}
    texts, kinds = values["tokenizer.ggml.tokens"], values["tokenizer.ggml.token_type"]
    for place, (text, kind) in (tokens or {}).items():
        texts[place], kinds[place] = text, int(kind)
    columns = [texts, kinds, values.get("tokenizer.ggml.scores")]
    for place, text in swapped:
        other = texts.index(text)
        for column in filter(None, columns):
            column[place], column[other] = column[other], column[place]
    writer = gguf.GGUFWriter(str(target), "llama")
    shape.tell(writer)
    writer.add_vocab_size(len(texts))
    for key, field in kept.items():
        if key != "tokenizer.chat_template":
            writer.add_key_value(key, values[key], field.types[0], sub_type=field.types[-1])
    if name is not None:
        writer.add_name(name)
    if template is not None:
        writer.add_chat_template(template)
    _finish(writer, shape, len(texts), seed)
    return target


def _finish(
    writer: gguf.GGUFWriter,
    shape: Shape,
    vocabulary: int,
    seed: int,
    scale: float = 1.0,
    tied: bool = False,
) -> None:
    """Add Gaussian weights in F32, and write the file."""
    rng = np.random.default_rng(seed)
    width, hidden = shape.width, shape.hidden

    def tensor(name: str, *sizes: int) -> None:
        weights = rng.normal(0, scale / np.sqrt(sizes[-1]), sizes)
        writer.add_tensor(name, weights.astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(width, np.float32))

    head = width // shape.heads
    tensor("token_embd.weight", vocabulary, width)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        ones(block + "attn_norm.weight")
        tensor(block + "attn_q.weight", width, width)
        tensor(block + "attn_k.weight", shape.kv_heads * head, width)
        tensor(block + "attn_v.weight", shape.kv_heads * head, width)
        tensor(block + "attn_output.weight", width, width)
        ones(block + "ffn_norm.weight")
        tensor(block + "ffn_gate.weight", hidden, width)
        tensor(block + "ffn_up.weight", hidden, width)
        tensor(block + "ffn_down.weight", width, hidden)
    ones("output_norm.weight")
    if not tied:
        tensor("output.weight", vocabulary, width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantized(source: Path, target: Path, kind: str) -> Path:
    """Quantise a GGUF with llama.cpp itself, as in ``quantized(a, b, "Q8_0")``."""
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    parameters.nthread = 2
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), parameters)
    assert status == 0, f"llama_model_quantize: {status}"
    return target
