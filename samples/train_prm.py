"""Train the process reward model from files that stepkit's own commands wrote.

1. solve: the policy continues to learn to solve, until its arithmetic is reliable.
2. lone: verdicts on first steps alone, without their problem. Such a step is short, can only be
   judged by whether it is true, and nothing before it went wrong: checking is learned here within
   minutes, while on whole attempts it takes hours.
3. grow: the same, with more and more of the problem visible; without this the skill is lost.
4. judge: verdicts on all tokens of whole attempts, with the language-model loss kept.

`--attempts` are graded attempts (step-rollout --method sample), where every token of an attempt
has the attempt's outcome; `--labels` are traces with Monte Carlo labels (step-rollout --method
chain, step-label), where the tokens of a step have the step's value. Both estimate the chance that
the policy reaches the right answer. Verdicts on attempts are balanced within each problem, or the
model would only learn which problems and which positions are hard.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import bpe
import torch
from gguf_file import check, read, write
from llama import Llama
from tokenizers import Tokenizer
from training import PROMPT, ROWS, Optimizer, Row, batches, loss
from world import problems

LONE_ROWS, GROW_ROWS = 192, 64  # rows of one batch where a row is a single step
PROFILE = {
    "kind": "token-logit",
    "prompt": PROMPT,
    "step": "{step}",
    "marker": "<|step|>",
    "positive": "<|good|>",
    "negative": "<|bad|>",
}


class Judged(NamedTuple):
    """A trace with, for each step, the chance that it is right so far and the weight of that."""

    problem: str
    steps: list[str]
    good: list[float]
    weight: list[float]
    speak: bool  # also an example for the language-model loss


def judged_row(tokenizer: Tokenizer, judged: Judged) -> Row:
    """A trace in the model's layout: each step's tokens and the marker after them."""
    ids = bpe.ids(tokenizer, PROMPT.format(problem=judged.problem))
    words, verdict, weight = ([0.0] * len(ids) for _ in range(3))
    for step, good, counts in zip(judged.steps, judged.good, judged.weight, strict=True):
        tokens = bpe.ids(tokenizer, step)
        ids += [*tokens, bpe.STEP]
        words += [float(judged.speak)] * len(tokens) + [0.0]
        verdict += [good] * (len(tokens) + 1)
        weight += [counts] * (len(tokens) + 1)
    return Row(ids, words, verdict, weight)


def first_step_row(tokenizer: Tokenizer, judged: Judged, seen: float) -> Row:
    """A trace's first step after the last part of its problem; only its second half is judged.

    Without the problem, a step can only be judged by whether it is true in itself.
    """
    prompt = bpe.ids(tokenizer, PROMPT.format(problem=judged.problem))
    prompt = prompt[len(prompt) - round(seen * len(prompt)) :]
    step = [*bpe.ids(tokenizer, judged.steps[0]), bpe.STEP]
    before = len(prompt) + len(step) // 2
    ids = prompt + step
    weight = [0.0] * before + [judged.weight[0]] * (len(ids) - before)
    return Row(ids, [0.0] * len(ids), [judged.good[0]] * len(ids), weight)


def solver_groups(tokenizer: Tokenizer, seed: int) -> Iterator[list[Row]]:
    """Fresh problems and their solutions in this model's layout, without verdicts."""
    for p in problems("train", seed):
        steps = p.solution.splitlines(keepends=True)
        nothing = [0.0] * len(steps)
        yield [judged_row(tokenizer, Judged(p.problem, steps, nothing, nothing, True))]


def read_attempts(path: Path) -> Iterator[list[Judged]]:
    """The decided attempts at each problem that was solved sometimes.

    Right and wrong ones have equal weight within a problem, and share a batch: separating hard
    problems from easy ones gains nothing, separating right from wrong gains everything.
    """
    lines = map(json.loads, path.open())
    for _, found in groupby(lines, key=lambda trace: trace["group"]):
        traces = [trace for trace in found if trace["correct"] is not None]
        right = sum(bool(trace["correct"]) for trace in traces)
        if not 0 < right < len(traces):
            continue
        shares = {True: len(traces) / 2 / right, False: len(traces) / 2 / (len(traces) - right)}
        yield [
            Judged(
                trace["problem"],
                trace["steps"],
                [float(trace["correct"])] * len(trace["steps"]),
                [shares[bool(trace["correct"])]] * len(trace["steps"]),
                bool(trace["correct"]),
            )
            for trace in traces
        ]


def read_labels(path: Path) -> Iterator[list[Judged]]:
    """Traces whose steps carry the value that rollouts measured."""
    for line in path.open():
        trace = json.loads(line)
        values = trace["labels"]["value"]["x"]
        yield [
            Judged(
                trace["problem"],
                trace["steps"],
                [value or 0.0 for value in values],
                [float(value is not None) for value in values],
                bool(trace.get("correct")),
            )
        ]


def grow(
    tokenizer: Tokenizer, groups: list[list[Judged]], rng: random.Random
) -> Iterator[list[Row]]:
    """First steps with more and more of their problem visible, in the end all of it."""
    for number, group in enumerate(groups):
        limit = number / len(groups) / 0.65
        seen = 1.0 if limit >= 1 else limit * rng.random() ** 0.5
        yield [first_step_row(tokenizer, judged, seen) for judged in group]


def fit(
    model: Llama,
    chosen: Iterator[list[Row]],
    steps: int,
    rate: float,
    name: str,
    spoken: Iterator[list[Row]] | None = None,
) -> None:
    """`steps` steps with both losses; `spoken` are solutions that keep the language model alive."""
    optimizer, start, sums = Optimizer(model, rate, steps), time.time(), [0.0, 0.0]
    for step, batch in enumerate(islice(chosen, steps), 1):
        words, verdict = loss(model, batch)
        if spoken is not None:
            words, _ = loss(model, next(spoken))
        optimizer.step(words + verdict)
        sums = [sums[0] + words.item(), sums[1] + verdict.item()]
        if step % 50 == 0:
            means = f"words {sums[0] / 50:.3f} verdict {sums[1] / 50:.3f}"
            print(f"{name} step {step} {means} {int(time.time() - start)} s", flush=True)
            sums = [0.0, 0.0]


def main() -> None:
    """Solve, judge, write, compare with llama.cpp."""
    here = Path(__file__).parent / "models"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=Path, help="graded attempts, JSON lines")
    parser.add_argument("--labels", type=Path, help="labelled traces, JSON lines")
    parser.add_argument("--policy", type=Path, default=here / "policy.gguf")
    parser.add_argument("--solver", type=Path, help="where the solver is kept; made if missing")
    parser.add_argument("--out", type=Path, default=here / "prm.gguf")
    parser.add_argument("--solve", type=int, default=1500, help="steps of solving first")
    parser.add_argument("--epochs", type=int, default=2, help="passes over the verdicts")
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--lone-epochs", type=int, default=3)
    parser.add_argument("--lone-rate", type=float, default=3e-3)
    parser.add_argument("--grow-rate", type=float, default=2e-3)
    parser.add_argument("--judge-rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model, tokenizer = read(args.solver if args.solver and args.solver.exists() else args.policy)
    seed, rng = args.seed, random.Random(args.seed)
    if not (args.solver and args.solver.exists()):
        solutions = batches(solver_groups(tokenizer, seed), seed)
        fit(model, solutions, args.solve, args.rate, "solve")
    if args.solver and not args.solver.exists():
        write(args.solver, model, tokenizer, "stepkit sample solver", {})
    if not args.attempts:
        return
    data = list(read_attempts(args.attempts))
    count = sum(map(len, data))
    spoken = batches(solver_groups(tokenizer, seed + 1), seed, ROWS // 2)
    lone = (
        [first_step_row(tokenizer, judged, 0.0) for judged in group]
        for _ in range(args.lone_epochs)
        for group in rng.sample(data, len(data))
    )
    steps = args.lone_epochs * count // LONE_ROWS
    fit(model, batches(lone, seed, LONE_ROWS), steps, args.lone_rate, "lone", spoken)
    growing = batches(grow(tokenizer, rng.sample(data, len(data)), rng), seed, GROW_ROWS)
    fit(model, growing, count // GROW_ROWS, args.grow_rate, "grow", spoken)
    data += read_labels(args.labels) if args.labels else []
    count = args.epochs * sum(map(len, data))
    whole = (
        [judged_row(tokenizer, judged) for judged in group]
        for _ in range(args.epochs)
        for group in rng.sample(data, len(data))
    )
    fit(model, batches(whole, seed), count // ROWS, args.judge_rate, "judge")
    profile = {"stepkit.profile": json.dumps(PROFILE)}
    write(args.out, model, tokenizer, "stepkit sample PRM", profile)
    texts = [PROMPT.format(problem=g[0].problem) + "".join(g[0].steps) for g in data[:50]]
    gap = check(args.out, model, tokenizer, texts)
    print(f"llama.cpp's logits differ by at most {gap:.1e}")


if __name__ == "__main__":
    main()
