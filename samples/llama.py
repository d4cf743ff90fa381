"""A Llama small enough to read and to train on a laptop: RMSNorm, RoPE, SwiGLU, tied embeddings.

The rotary embedding rotates neighbouring pairs, which is llama.cpp's layout for this architecture,
so the weights go into a GGUF unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config:
    """The shape of the model and its other settings in a GGUF."""

    vocabulary: int
    width: int = 128
    layers: int = 4
    heads: int = 4
    inner: int = 320
    context: int = 512
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Channels of one attention head."""
        return self.width // self.heads


def rope_table(config: Config) -> Tensor:
    """The rotation of every position and channel pair, as complex numbers of length one."""
    pairs = torch.arange(0, config.head_width, 2, dtype=torch.float32) / config.head_width
    places = torch.arange(config.context, dtype=torch.float32)
    angles = torch.outer(places, config.rope_base**-pairs)
    return torch.polar(torch.ones_like(angles), angles)


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn each pair of neighbouring channels by the angle of its position."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(-2)


Cache = tuple[Tensor, Tensor, int]  # keys, values, and the place of the next token


class Layer(nn.Module):
    """Attention and a gated feed-forward part, each after its norm."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, inner = config.width, config.inner
        self.config = config
        self.attn_norm = nn.RMSNorm(width, config.epsilon)
        self.ffn_norm = nn.RMSNorm(width, config.epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, width, bias=False)
        self.attn_v = nn.Linear(width, width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_gate = nn.Linear(width, inner, bias=False)
        self.ffn_up = nn.Linear(width, inner, bias=False)
        self.ffn_down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, turn: Tensor, mask: Tensor | None, cache: Cache | None) -> Tensor:
        """One layer; sampling keeps the past in a cache."""
        rows, length, _ = x.shape
        shape = (rows, length, self.config.heads, self.config.head_width)
        h = self.attn_norm(x)
        q = rotate(self.attn_q(h).view(shape).transpose(1, 2), turn)
        k = rotate(self.attn_k(h).view(shape).transpose(1, 2), turn)
        v = self.attn_v(h).view(shape).transpose(1, 2)
        if cache is not None:
            keys, values, place = cache
            keys[:, :, place : place + length] = k
            values[:, :, place : place + length] = v
            k, v = keys[:, :, : place + length], values[:, :, : place + length]
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        x = x + self.attn_output(h.transpose(1, 2).flatten(2))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Llama(nn.Module):
    """The model; `forward` returns normed hidden states, `logits` reads them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocabulary, config.width)
        self.blk = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.output_norm = nn.RMSNorm(config.width, config.epsilon)
        self.register_buffer("turn", rope_table(config), persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                scale = (2 * config.layers) ** -0.5 if "output" in name or "down" in name else 1.0
                nn.init.normal_(weight, std=0.6 * scale * weight.shape[1] ** -0.5)
        nn.init.normal_(self.token_embd.weight, std=0.05)

    def forward(self, ids: Tensor) -> Tensor:
        """Hidden states of whole sequences, padded on the right."""
        length = ids.shape[1]
        x = self.token_embd(ids)
        for layer in self.blk:
            x = layer(x, self.turn[:length], None, None)
        return self.output_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits by the tied embedding."""
        return F.linear(hidden, self.token_embd.weight)

    @torch.no_grad()
    def sample(self, prompts: list[list[int]], new: int, eos: int) -> list[list[int]]:
        """Draw one continuation at temperature 1 for each prompt, until eos or `new` tokens.

        Prompts are padded on the left; a row's positions start at its first real token.
        """
        rows, longest = len(prompts), max(map(len, prompts))
        config, lead = self.config, torch.tensor([longest - len(p) for p in prompts])
        ids = torch.tensor([[eos] * (longest - len(p)) + p for p in prompts])
        shape = (rows, config.heads, longest + new, config.head_width)
        caches = [(torch.empty(shape), torch.empty(shape)) for _ in self.blk]
        alive = torch.arange(longest + new)[None] >= lead[:, None]
        mask = alive[:, None, None, :longest] & torch.ones(longest, longest).tril().bool()
        mask = mask | torch.eye(longest).bool()
        place, drawn = 0, []
        ended = torch.zeros(rows, dtype=torch.bool)
        while True:
            where = (torch.arange(place, place + ids.shape[1])[None] - lead[:, None]).clamp(min=0)
            turn = self.turn[where][:, None]
            x = self.token_embd(ids)
            for layer, (keys, values) in zip(self.blk, caches, strict=True):
                x = layer(x, turn, mask, (keys, values, place))
            place += ids.shape[1]
            odds = self.logits(self.output_norm(x[:, -1])).softmax(-1)
            token = torch.multinomial(odds, 1)[:, 0].masked_fill(ended, eos)
            drawn.append(token)
            ended |= token == eos
            if ended.all() or len(drawn) == new:
                break
            ids, mask = token[:, None], alive[:, None, None, : place + 1]
        table = torch.stack(drawn, 1).tolist()
        return [row[: row.index(eos)] if eos in row else row for row in table]
