"""GGUF files made on the spot: a random-weight Llama of any shape over a byte vocabulary."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

END = 256
MARKS = ("<|end|>", "<|step|>", "<|good|>", "<|bad|>")
MERGES = ("Ġ t", "a b", "ab c", ". Ċ")
"""A few merges, so that tokens cross the cuts that tests make."""


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
    seed: int = 0,
    scale: float = 1.0,
    tied: bool = False,
    spare: int = 0,
) -> Path:
    """Write a Llama with Gaussian weights in F32. ``vocabulary`` pads the vocabulary with
    words that no text is tokenised to; ``tied``: the output matrix is the embedding; ``spare``
    tokens that nothing yields end the vocabulary."""
    rng = np.random.default_rng(seed)
    tokens = [*byte_letters(), *MARKS, *(merge.replace(" ", "") for merge in MERGES)]
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    for mark in range(END, END + len(MARKS)):
        kinds[mark] = gguf.TokenType.CONTROL
    while len(tokens) < vocabulary:
        tokens.append(f"Ġ{len(tokens)}")
        kinds.append(gguf.TokenType.NORMAL)
    tokens += [f"[PAD{number}]" for number in range(spare)]
    kinds += [gguf.TokenType.UNUSED] * spare
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(list(MERGES))
    writer.add_eos_token_id(END)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    if profile is not None:
        writer.add_string("stepkit.profile", profile)

    def tensor(name: str, *shape: int) -> None:
        weights = rng.normal(0, scale / np.sqrt(shape[-1]), shape)
        writer.add_tensor(name, weights.astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(width, np.float32))

    head = width // heads
    tensor("token_embd.weight", len(tokens), width)
    for layer in range(layers):
        block = f"blk.{layer}."
        ones(block + "attn_norm.weight")
        tensor(block + "attn_q.weight", width, width)
        tensor(block + "attn_k.weight", kv_heads * head, width)
        tensor(block + "attn_v.weight", kv_heads * head, width)
        tensor(block + "attn_output.weight", width, width)
        ones(block + "ffn_norm.weight")
        tensor(block + "ffn_gate.weight", hidden, width)
        tensor(block + "ffn_up.weight", hidden, width)
        tensor(block + "ffn_down.weight", width, hidden)
    ones("output_norm.weight")
    if not tied:
        tensor("output.weight", len(tokens), width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def quantized(source: Path, target: Path, kind: str) -> Path:
    """Quantise a GGUF with llama.cpp itself, as in ``quantized(a, b, "Q8_0")``."""
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    parameters.nthread = 2
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), parameters)
    assert status == 0, f"llama_model_quantize: {status}"
    return target
