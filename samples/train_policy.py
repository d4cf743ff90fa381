"""Train the tokenizer and the policy, only half-way, and write the policy's GGUF.

A policy that has learned to add but not yet to search guesses its pairs: right about half of the
time, and wrong with confidence. Such a sampler is one that a verifier can help.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

import bpe
import torch
from gguf_file import CHAT_TEMPLATE, check, write
from llama import Config, Llama
from tokenizers import Tokenizer
from training import PROMPT, ROWS, Optimizer, batches, loss, solver_row
from world import Problem, problems


def right(model: Llama, tokenizer: Tokenizer, chosen: list[Problem]) -> float:
    """Share of problems that one attempt at temperature 1 gets right."""
    prompts = [bpe.ids(tokenizer, PROMPT.format(problem=p.problem)) for p in chosen]
    texts = [tokenizer.decode(ids) for ids in model.sample(prompts, 96, bpe.EOS)]
    hits = [t.endswith(f"\nAnswer: {p.answer}") for t, p in zip(texts, chosen, strict=True)]
    return sum(hits) / len(hits)


def train(
    model: Llama, tokenizer: Tokenizer, steps: int, until: float, rate: float, seed: int
) -> None:
    """Next-token prediction of solutions, each problem seen once, until enough are right."""
    stream = problems("train", seed)
    rows = ([solver_row(tokenizer, p)] for p in islice(stream, steps * ROWS))
    optimizer, start = Optimizer(model, rate, steps), time.time()
    for step, batch in enumerate(batches(rows, seed), 1):
        words, _ = loss(model, batch)
        optimizer.step(words)
        if step % 100:
            continue
        share = right(model, tokenizer, list(islice(problems("train", 10**6 + step), 512)))
        clock = int(time.time() - start)
        print(f"step {step} words {words.item():.3f} right {share:.3f} {clock} s", flush=True)
        if share >= until:
            return


def main() -> None:
    """Train, write, compare with llama.cpp."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "models/policy.gguf")
    parser.add_argument("--steps", type=int, default=1500, help="what the rate is planned for")
    parser.add_argument("--until", type=float, default=0.45, help="stop when so many are right")
    parser.add_argument("--rate", type=float, default=6e-3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    first = list(islice(problems("train", 0), 5000))
    texts = [PROMPT.format(problem=p.problem) + p.solution for p in first]
    tokenizer = bpe.train(texts)
    model = Llama(Config(tokenizer.get_vocab_size()))
    train(model, tokenizer, args.steps, args.until, args.rate, args.seed)
    template = {"tokenizer.chat_template": CHAT_TEMPLATE}
    write(args.out, model, tokenizer, "stepkit sample policy", template)
    gap = check(args.out, model, tokenizer, texts[:50])
    print(f"llama.cpp's logits differ by at most {gap:.1e}")


if __name__ == "__main__":
    main()
