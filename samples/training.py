"""What both training scripts share: rows, batches of similar length, and the optimizer."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import bpe
import torch
from llama import Llama
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from world import Problem

PROMPT = "Problem: {problem}\nSolution:\n"
ROWS = 32  # rows of one batch; small batches learn more from each problem


class Row(NamedTuple):
    """A training sequence; columns of equal length, weight 0 where a position teaches nothing."""

    ids: list[int]
    words: list[float]  # weight of the language-model loss when this token is predicted
    verdict: list[float]  # chance that the attempt is right so far, read at this token
    weight: list[float]  # weight of that verdict


def solver_row(tokenizer: Tokenizer, problem: Problem) -> Row:
    """The problem and its solution, as the policy reads and writes them."""
    prompt = bpe.ids(tokenizer, PROMPT.format(problem=problem.problem))
    solution = [*bpe.ids(tokenizer, problem.solution), bpe.EOS]
    blank = [0.0] * (len(prompt) + len(solution))
    return Row(prompt + solution, [0.0] * len(prompt) + [1.0] * len(solution), blank, blank)


def batches(groups: Iterable[list[Row]], seed: int, size: int = ROWS) -> Iterator[list[Row]]:
    """Batches of similar length, in random order, with little padding; groups stay together."""
    rng, groups = random.Random(seed), iter(groups)
    while found := list(islice(groups, 16 * size)):
        found.sort(key=lambda group: max(len(row.ids) for row in group))
        block = list(chain.from_iterable(found))
        starts = list(range(0, len(block), size))
        rng.shuffle(starts)
        yield from (block[start : start + size] for start in starts)


def pad(columns: Sequence[list[Any]], fill: float, dtype: torch.dtype) -> Tensor:
    """Rows of unequal length as one tensor."""
    longest = max(map(len, columns))
    return torch.tensor([c + [fill] * (longest - len(c)) for c in columns], dtype=dtype)


def loss(model: Llama, batch: list[Row]) -> tuple[Tensor, Tensor]:
    """Mean language-model loss and mean verdict loss of a batch.

    A verdict is the difference of two logits, so it leaves the next-token distribution free.
    """
    ids = pad([row.ids for row in batch], bpe.EOS, torch.long)
    words = pad([row.words for row in batch], 0.0, torch.float32)[:, 1:]
    weight = pad([row.weight for row in batch], 0.0, torch.float32)
    verdict = pad([row.verdict for row in batch], 0.0, torch.float32)
    hidden = model(ids)
    speaks, judges = words > 0, weight > 0
    logits = model.logits(hidden[:, :-1][speaks])
    lm = F.cross_entropy(logits, ids[:, 1:][speaks], reduction="none") * words[speaks]
    label = model.token_embd.weight[bpe.GOOD] - model.token_embd.weight[bpe.BAD]
    margin = hidden[judges] @ label
    judged = F.binary_cross_entropy_with_logits(margin, verdict[judges], reduction="none")
    judged = (judged * weight[judges]).sum() / weight.sum().clamp(min=1)
    return lm.sum() / words.sum().clamp(min=1), judged


class Optimizer:
    """Muon for the matrices, AdamW for the rest; warm-up, then linear decay."""

    def __init__(self, model: Llama, rate: float, steps: int) -> None:
        named = list(model.named_parameters())
        matrices = [p for name, p in named if p.dim() == 2 and "embd" not in name]
        others = [p for name, p in named if p.dim() != 2 or "embd" in name]
        muon = torch.optim.Muon(
            matrices, lr=rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"
        )
        adam = torch.optim.AdamW(others, lr=rate / 2, betas=(0.9, 0.98), weight_decay=0.0)
        self.parts, self.rates = (muon, adam), (rate, rate / 2)
        self.model, self.steps, self.step_number = model, steps, 0

    def step(self, total: Tensor) -> None:
        """One update from one batch's loss."""
        left = 1 - self.step_number / self.steps
        factor = min(1.0, (self.step_number + 1) / 50) * max(0.02, left)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for part, rate in zip(self.parts, self.rates, strict=True):
            part.param_groups[0]["lr"] = rate * factor
            part.step()
            part.zero_grad()
        self.step_number += 1
