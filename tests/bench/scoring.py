"""Scoring the steps of traces: one pass against a pass per prefix, time and memory; drift.

    python tests/bench/scoring.py [--rounds N] [--kind Q8_0]

On the random-weight Llama of 0.3 B of engine.py, 8 attempts of 20 steps at one problem; a process
for each way, and its processor time (user and system, all threads), which says more than the clock
where other things run.

    anew      what people's scripts do: llama-cpp-python's high-level Llama evaluates the prompt and
              all steps so far for every step; it has logits only with logits_all
    anew last the same, with the last row of logits fetched through the binding below it
    alone     stepkit: an attempt once, read at its 20 markers
    one pass  stepkit: the 8 attempts, which share the prompt
    head      stepkit: the same with a head of two layers on the hidden states
    per prefix, branches, branches fast   a question of 10 tokens after every step: a pass for each
              prefix in stepkit's engine, its branches, and its branches with --fast
    cached    one pass, from the cache

Then, on the shipped verifier: scores of the sample traces in Q8_0 and Q4_K_M against F16.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import engine as bench

STEPS, STEP, PROMPT, QUESTION, TRACES = 20, 30, 200, 10, 8
THREADS = 2
CANDIDATES = (7, 9)

Ids = tuple[int, ...]


def trace(number: int) -> tuple[Ids, list[int]]:
    """Ids of an attempt at the one problem, and the positions after the steps."""
    ids = _ids(PROMPT, 0) + _ids(STEPS * STEP, 1000 + number)
    return ids, [PROMPT + STEP * (step + 1) - 1 for step in range(STEPS)]


def _ids(count: int, seed: int) -> Ids:
    chance = random.Random(seed)
    return tuple(chance.randrange(300, 30_000) for _ in range(count))


# -- the ways: each gives the seconds of processor time for a trace -----------------------------


def anew(path: Path, everything: bool = True) -> float:
    import llama_cpp

    from stepkit.model.local.llama import buffers

    made = llama_cpp.llama_cpp.llama_model_default_params

    def parameters() -> Any:
        # what stepkit does too: built by gcc 12, the AMX path crashes
        settings = made()
        settings.use_extra_bufts = buffers().repack
        return settings

    llama_cpp.llama_cpp.llama_model_default_params = parameters
    model = llama_cpp.Llama(
        str(path), n_ctx=1024, n_batch=512, n_threads=THREADS, logits_all=everything, verbose=False
    )
    start = time.process_time()
    ids, positions = trace(0)
    for position in positions:
        model.reset()
        model.eval(list(ids[: position + 1]))
        last = model.n_tokens - 1
        row = model.scores[last] if everything else llama_cpp.llama_get_logits_ith(model.ctx, -1)
        assert row[CANDIDATES[0]] != row[CANDIDATES[1]]
    return time.process_time() - start


def reading(
    path: Path,
    request: Callable[[int], list[Any]],
    traces: int = TRACES,
    cache: str = "",
    fast: bool = False,
) -> float:
    from stepkit.io.score_cache import ScoreCache
    from stepkit.model.backend import open_engine
    from stepkit.model.local.context_sizes import for_reading
    from stepkit.model.local.llama import Model
    from stepkit.model.recorded_engine import RecordedEngine
    from stepkit.runner.options import ModelOptions

    options = ModelOptions(None, threads=THREADS, context=1024, fast=fast)
    model = Model(str(path))
    engine: Any = open_engine(model, for_reading(model, options))
    if cache:
        engine = RecordedEngine(engine, ScoreCache(cache, {}))
    start = time.process_time()
    for number in range(traces):
        for asked in request(number):
            engine.submit(asked)
        while engine.pending:
            for done in engine.step():
                assert done.result.values, done
    seconds = time.process_time() - start
    engine.close()
    return seconds / traces


def one_pass(number: int) -> list[Any]:
    from stepkit.model.engine import Read

    ids, positions = trace(number)
    return [Read(f"{number}", ids, tuple(positions), CANDIDATES)]


def with_head(number: int, width: int = 1024) -> list[Any]:
    import numpy as np

    from stepkit.model.engine import Read
    from stepkit.model.heads.head_network import Head

    chance = np.random.default_rng(0)
    first, second = chance.normal(0, 0.03, (width, width)), chance.normal(0, 0.03, (2, width))
    layers = {"0.weight": first.astype(np.float32), "2.weight": second.astype(np.float32)}
    ids, positions = trace(number)
    return [Read(f"{number}", ids, tuple(positions), head=Head("mlp", layers))]


def branches(number: int) -> list[Any]:
    from stepkit.model.engine import Branch, Read

    ids, positions = trace(number)
    question = _ids(QUESTION, 9)
    after = tuple(Branch(position + 1, question) for position in positions)
    return [Read(f"{number}", ids, (), CANDIDATES, branches=after)]


def per_prefix(number: int) -> list[Any]:
    from stepkit.model.engine import Read

    ids, positions = trace(number)
    question = _ids(QUESTION, 9)
    found = []
    for position in positions:
        prefix = ids[: position + 1] + question
        # another first token, so that nothing is shared: each is evaluated by itself
        prefix = (300 + position, *prefix[1:])
        found.append(Read(f"{number} {position}", prefix, (len(prefix) - 1,), CANDIDATES))
    return found


def cached(path: Path) -> float:
    with tempfile.TemporaryDirectory() as folder:
        reading(path, one_pass, cache=folder)
        return reading(path, one_pass, cache=folder)


WAYS: dict[str, Callable[[Path], float]] = {
    "anew": anew,
    "anew last": lambda path: anew(path, everything=False),
    "alone": lambda path: reading(path, one_pass, traces=1),
    "one pass": lambda path: reading(path, one_pass),
    "head": lambda path: reading(path, with_head),
    "per prefix": lambda path: reading(path, per_prefix, traces=1),
    "branches": lambda path: reading(path, branches, traces=1),
    "branches fast": lambda path: reading(path, branches, traces=1, fast=True),
    "cached": cached,
}


def compare(path: Path, rounds: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name in WAYS:
            command = [sys.executable, __file__, "--one", name, "--path", str(path)]
            # threads that wait for each other must not count as work
            environment = os.environ | {"GOMP_SPINCOUNT": "1000"}
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env=environment
            )
            seconds[name].append(float(done.stdout.split()[-1]))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"\n{STEPS} steps of {STEP} tokens after {PROMPT}: processor seconds a trace\n")
    for name, median in medians.items():
        print(f"{name:<15}{median:>10.4f}")
    print()
    for one, other in (
        ("one pass", "anew"), ("one pass", "anew last"), ("alone", "anew"), ("head", "anew"),
        ("branches", "per prefix"), ("branches fast", "per prefix"), ("cached", "one pass"),
    ):  # fmt: skip
        print(f"{one + ' against ' + other:<32}{medians[other] / medians[one]:>8.1f} times")
    sys.stdout.flush()


# -- memory --------------------------------------------------------------------------------------


def memory(path: Path, size: str) -> None:
    """Peak memory of scoring against model, cache and buffers as llama.cpp reports them."""
    command = [sys.executable, __file__, "--memory", "--path", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, peak, held, reported = map(float, done.stdout.split()[-4:])
    print(f"\nmemory of one pass and of a head, {size}, context of 4096, MiB\n")
    print(f"model and key-value cache as llama.cpp reports     {held:>6.0f}")
    print(f"the same with its buffers                          {reported:>6.0f}")
    print(f"peak of the process                                {peak:>6.0f}")
    print(f"of which Python and libraries at the start         {before:>6.0f}")
    print(f"peak without these against model and cache         {(peak - before) / held:>6.2f}")
    print(f"peak with these against model and cache            {peak / held:>6.2f}", flush=True)


def measured(path: Path) -> None:
    from stepkit.model.backend import open_engine
    from stepkit.model.local import llama
    from stepkit.model.local.context_sizes import for_reading
    from stepkit.runner.options import ModelOptions

    logged: list[str] = []
    llama._log = type(
        "Log",
        (),
        {"append": logged.append, "clear": lambda _: None, "__iter__": lambda _: iter(logged)},
    )()
    llama.library()
    import numpy  # noqa: F401

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    options = ModelOptions(None, threads=THREADS)
    model = llama.Model(str(path))
    engine = open_engine(model, for_reading(model, options))
    for request in (*one_pass(0), *with_head(1, model.width)):
        engine.submit(request)
    while engine.pending:
        engine.step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sizes = re.findall(r"(\S+) +buffer size = +([\d.]+) MiB", "".join(logged))
    reported = sum(float(size) for _, size in sizes)
    held = sum(float(size) for what, size in sizes if what in ("model", "KV"))
    print(before, peak, held, reported)


# -- what quantising does to scores --------------------------------------------------------------


def drift(kinds: Sequence[str]) -> None:
    """Scores of the sample traces by the shipped verifier, quantised, against itself."""
    import ggufs

    traces = bench.ROOT / "samples" / "traces.jsonl"
    prm = bench.ROOT / "samples" / "models" / "prm.gguf"
    binaries = Path(sys.executable).parent
    split = subprocess.run([binaries / "step-split", "-q", traces], capture_output=True, check=True)

    def scores(path: Path) -> list[float]:
        command = [str(binaries / "step-score"), "-q", "-t", str(THREADS), "--prm", str(path)]
        done = subprocess.run(command, input=split.stdout, capture_output=True, check=True)
        return [
            x for line in done.stdout.splitlines() for x in json.loads(line)["scores"]["prm"]["x"]
        ]

    full = scores(prm)
    print(f"\nthe shipped verifier quantised, {len(full)} steps\n")
    print(f"{'':<10}{'mean |d|':>10}{'max |d|':>10}{'Spearman':>10}{'flips at .5':>13}")
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            small = scores(ggufs.quantized(prm, Path(folder) / "prm.gguf", kind))
        gaps = [abs(a - b) for a, b in zip(full, small, strict=True)]
        flips = sum((a < 0.5) != (b < 0.5) for a, b in zip(full, small, strict=True))
        rank = spearman(full, small)
        mean = statistics.fmean(gaps)
        print(f"{kind:<10}{mean:>10.4f}{max(gaps):>10.4f}{rank:>10.4f}{flips:>13}", flush=True)


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Correlation of the ranks; ties get the mean of theirs."""
    return statistics.correlation(_ranks(one), _ranks(other))


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + end - 1) / 2
        start = end
    return ranks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", default="Q8_0")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(WAYS[options.one](Path(options.path)))
        return
    if options.memory:
        measured(Path(options.path))
        return
    path = bench.model(options.kind)
    print(f"Llama of 0.3 B, {options.kind}, {THREADS} threads, {options.rounds} rounds")
    compare(path, options.rounds)
    for size in bench.SIZES:
        memory(bench.model(options.kind, size), size)
    drift(("Q8_0", "Q4_K_M"))


if __name__ == "__main__":
    main()
