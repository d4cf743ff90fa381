"""The byte-level BPE of the tiny models: trained here, stored in a GGUF file.

All 256 bytes are tokens, so any text can be encoded. The pre-tokenizer is the one that llama.cpp
calls "qwen2": each digit is a token, and a full stop may merge with the line end after it, so a
step must be cut at tokens with care. Special tokens are never parsed out of text.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 448
SPECIAL = ("<|endoftext|>", "<|step|>", "<|good|>", "<|bad|>")
EOS, STEP, GOOD, BAD = range(4)
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def build(model: models.BPE) -> Tokenizer:
    """A tokenizer with this BPE; special tokens in text stay text."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.encode_special_tokens = True
    return tokenizer


def train(texts: Iterable[str]) -> Tokenizer:
    """Learn the merges from texts of the world."""
    tokenizer = build(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """The token ids of a text, nothing added."""
    return tokenizer.encode(text, add_special_tokens=False).ids
