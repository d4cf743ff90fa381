"""Write a tiny Llama and its tokenizer as a GGUF, and check that llama.cpp computes the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpe
import gguf
import torch
from llama import Config, Llama
from tokenizers import AddedToken, Tokenizer, models

CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'user' %}Problem: {{ m['content'] }}\n"
    "{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Solution:\n{% endif %}"
)


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """The vocabulary, the merges and how to use them."""
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([control if t in bpe.SPECIAL else normal for t in vocabulary])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(bpe.EOS)  # never added; unset, llama.cpp would name token 11
    writer.add_eos_token_id(bpe.EOS)
    writer.add_pad_token_id(bpe.EOS)
    writer.add_add_bos_token(False)


def write(path: Path, model: Llama, tokenizer: Tokenizer, name: str, extra: dict[str, str]) -> None:
    """Write the model to a temporary name and rename it into place."""
    config = model.config
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(str(part), "llama")
    writer.add_name(name)
    writer.add_license("CC0-1.0")
    writer.add_description("Tiny model of stepkit's sample world; see samples/models/README.md.")
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.inner)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_rope_dimension_count(config.head_width)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_layer_norm_rms_eps(config.epsilon)
    writer.add_vocab_size(config.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_tokenizer(writer, tokenizer)
    for key, value in extra.items():
        writer.add_string(key, value)
    for tensor, weight in model.state_dict().items():
        writer.add_tensor(tensor, weight.detach().float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(path)


def read(path: Path) -> tuple[Llama, Tokenizer]:
    """Read a GGUF that `write` made, to continue its training."""
    reader = gguf.GGUFReader(path)

    def value(key: str) -> Any:
        return reader.fields[key].contents()

    vocabulary = {token: i for i, token in enumerate(value("tokenizer.ggml.tokens"))}
    merges = [tuple(pair.split(" ")) for pair in value("tokenizer.ggml.merges")]
    tokenizer = bpe.build(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in bpe.SPECIAL])
    model = Llama(
        Config(
            vocabulary=len(vocabulary),
            width=value("llama.embedding_length"),
            layers=value("llama.block_count"),
            heads=value("llama.attention.head_count"),
            inner=value("llama.feed_forward_length"),
            context=value("llama.context_length"),
            rope_base=value("llama.rope.freq_base"),
            epsilon=value("llama.attention.layer_norm_rms_epsilon"),
        )
    )
    model.load_state_dict({t.name: torch.tensor(t.data) for t in reader.tensors})
    return model, tokenizer


TRAPS = (
    "",
    "a.\n\nb",
    " 12  34\t5\r\n",
    "<|step|> <|endoftext|>",
    "été 数学 ½ 🙂 naïve",
    "It's  ok...\n\n\n  end ",
    "x=3*(4+5)/6;\n",
)


def check(path: Path, model: Llama, tokenizer: Tokenizer, texts: list[str]) -> float:
    """Assert equal tokens and logits in llama.cpp; return the largest difference of logits.

    The cache is F32: llama.cpp's default, F16, alone changes logits by some 4e-3.
    """
    import llama_cpp

    kind = llama_cpp.GGML_TYPE_F32
    other = llama_cpp.Llama(
        str(path),
        n_ctx=model.config.context,
        logits_all=True,
        type_k=kind,
        type_v=kind,
        verbose=False,
    )
    worst = 0.0
    for text in [*texts, *TRAPS]:
        ours = bpe.ids(tokenizer, text)
        theirs = other.tokenize(text.encode(), add_bos=False, special=False)
        assert ours == theirs, f"tokens differ for {text!r}: {ours} and {theirs}"
        if not ours:
            continue
        other.reset()
        other.eval(ours)
        with torch.no_grad():
            logits = model.logits(model(torch.tensor([ours])))[0]
        gap = (logits - torch.tensor(other.scores[: len(ours)])).abs().max().item()
        assert gap < 1e-3, f"logits differ by {gap} for {text!r}"
        worst = max(worst, gap)
    return worst
