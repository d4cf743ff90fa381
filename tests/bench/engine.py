"""The engine next to the other ways to draw from a GGUF file on this machine.

    python tests/bench/engine.py [--rounds N] [--kind Q8_0]

All runs of a shape are interleaved, and medians over the rounds are compared. On a random-weight
Llama of 0.3 B made on the spot, no text ends by itself, so every way draws equally many tokens.

    loop     llama-cpp-python's high-level Llama, one completion after another (a part of the draws,
             as many as take a fair while: it draws them one by one)
    server   llama.cpp's own server (LLAMA_SERVER, or llama-server on PATH) with 32 slots, warm: it
             has seen every prompt before and evaluates none of them again, the others do
    batched  llama.cpp's own batched bench (LLAMA_BATCHED_BENCH, or on PATH): no sampling, no text
    exact    stepkit's default layout
    fast     stepkit's --fast
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "build" / "bench"
CONTEXT = 512
THREADS = 2

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """``draws`` draws of ``tokens`` tokens from each of ``prefixes``."""

    name: str
    prefixes: tuple[Ids, ...]
    draws: int
    tokens: int

    @property
    def total(self) -> int:
        return len(self.prefixes) * self.draws * self.tokens

    @property
    def distinct(self) -> int:
        """Prompt tokens to evaluate when nothing is evaluated twice (nested or unrelated)."""
        nested = all(b[: len(a)] == a for a, b in zip(self.prefixes, self.prefixes[1:]))  # noqa: B905
        return len(self.prefixes[-1]) if nested else sum(map(len, self.prefixes))


def shapes() -> list[Shape]:
    rng = random.Random(1)

    def ids(count: int) -> Ids:
        return tuple(rng.randrange(300, 30_000) for _ in range(count))

    longest = ids(64 + 10 * 24)
    nested = tuple(longest[: 64 + 24 * step] for step in range(1, 11))
    return [
        Shape("32 draws x 128 tokens from one prefix of 256", (ids(256),), 32, 128),
        Shape("8 draws x 32 tokens from each of 10 nested prefixes", nested, 8, 32),
        Shape(
            "64 problems of 64 tokens x 4 draws x 32 tokens",
            tuple(ids(64) for _ in range(64)), 4, 32,
        ),
    ]  # fmt: skip


SIZES: dict[str, Any] = {
    "0.3b": {"layers": 16, "width": 1024, "heads": 16, "kv_heads": 4, "hidden": 4096},
    "1.1b": {"layers": 22, "width": 2048, "heads": 32, "kv_heads": 4, "hidden": 5632},
}
"""In the proportions of Llama 3.2 and TinyLlama."""


def model(kind: str, size: str = "0.3b") -> Path:
    """The model file, made when it is not there."""
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))
    import ggufs

    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"llama-{size}-{kind}.gguf"
    if not path.exists():
        plain, part = FOLDER / f"llama-{size}.part", path.with_suffix(".part")
        ggufs.write_llama(plain, **SIZES[size], context=4096, vocabulary=32_000)
        ggufs.quantized(plain, part, kind)
        plain.unlink()
        part.rename(path)
    return path


# -- the ways ----------------------------------------------------------------------------------


def with_stepkit(path: Path, shape: Shape, fast: bool) -> Iterator[float]:
    """Seconds of each round, in one process."""
    from stepkit.model.backend import open_engine
    from stepkit.model.engine import Draw, Sampling
    from stepkit.model.local import token_sampling
    from stepkit.model.local.context_sizes import for_drawing
    from stepkit.model.local.llama import Model
    from stepkit.runner.options import ModelOptions

    token_sampling.warm()
    loaded = Model(str(path))
    options = ModelOptions(None, threads=THREADS, context=CONTEXT, fast=fast)
    end = tuple((token, float("-inf")) for token in loaded.ends_generation())
    how = Sampling(max_tokens=shape.tokens, logit_bias=end)
    for number in range(1 << 30):
        engine = open_engine(loaded, for_drawing(loaded, options, shape.tokens))
        start = time.perf_counter()
        for place, prefix in enumerate(shape.prefixes):
            for draw in range(shape.draws):
                seed = (number * 1000 + place) * 1000 + draw
                engine.submit(Draw(f"{seed}", prefix, seed, how))
        while engine.pending:
            for done in engine.step():
                assert done.result.tokens == shape.tokens, done  # type: ignore[union-attr]
        seconds = time.perf_counter() - start
        assert engine.counters.read_tokens == shape.distinct, engine.counters
        engine.close()
        yield seconds


def with_loop(path: Path, shape: Shape) -> Iterator[float]:
    """Seconds that all draws would take, from some of them."""
    import llama_cpp

    from stepkit.model.local.llama import buffers

    made = llama_cpp.llama_cpp.llama_model_default_params

    def parameters() -> Any:
        # what stepkit does too: built by gcc 12, the AMX path crashes
        settings = made()
        settings.use_extra_bufts = buffers().repack
        return settings

    llama_cpp.llama_cpp.llama_model_default_params = parameters
    loaded = llama_cpp.Llama(str(path), n_ctx=CONTEXT, n_threads=THREADS, verbose=False)
    draws = max(1, min(shape.draws, 512 // shape.tokens))
    prefixes = shape.prefixes[: max(1, 512 // (draws * shape.tokens))]
    share = len(prefixes) * draws / (len(shape.prefixes) * shape.draws)
    end: Any = {str(loaded.token_eos()): float("-inf")}
    while True:
        loaded.reset()
        start = time.perf_counter()
        for prefix in prefixes:
            for draw in range(draws):
                answer = loaded.create_completion(
                    list(prefix), max_tokens=shape.tokens, temperature=1.0, top_k=0, top_p=1.0,
                    min_p=0.0, repeat_penalty=1.0, seed=draw, logit_bias=end,
                )  # fmt: skip
                assert answer["usage"]["completion_tokens"] == shape.tokens  # type: ignore[index]
        yield (time.perf_counter() - start) / share


@contextmanager
def serving(binary: str, path: Path, slots: int) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        binary, "-m", str(path), "--host", "127.0.0.1", "--port", str(port), "-t", str(THREADS),
        "-np", str(slots), "-c", str(slots * CONTEXT), "-b", "512", "-ub", "512", "-fa", "off",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            with suppress(OSError), urllib.request.urlopen(url + "/health") as answer:
                if answer.status == 200:
                    break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def with_server(binary: str, path: Path, shape: Shape) -> Iterator[float]:
    slots = 32

    def complete(url: str, prefix: Ids, seed: int) -> None:
        body = {
            "prompt": list(prefix), "n_predict": shape.tokens, "ignore_eos": True, "seed": seed,
            "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "cache_prompt": True,
            "samplers": ["temperature"],
        }  # fmt: skip
        request = urllib.request.Request(
            url + "/completion",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=3600) as answer:
            assert json.load(answer)["tokens_predicted"] == shape.tokens

    with serving(binary, path, slots) as url, ThreadPoolExecutor(slots) as pool:

        def all_draws(number: int, tokens: int) -> None:
            asks = [(p, n) for p in shape.prefixes for n in range(shape.draws)]
            seeds = range(number * 100_000, number * 100_000 + len(asks))
            list(pool.map(lambda ask, seed: complete(url, ask[0], seed), asks, seeds))

        for number in range(1 << 30):
            # warm: the first round finds the slots as the one before left them
            start = time.perf_counter()
            all_draws(number, shape.tokens)
            seconds = time.perf_counter() - start
            if number:
                yield seconds


def with_batched(binary: str, path: Path, shape: Shape) -> Iterator[float]:
    """Only for one prefix: its rate at this shape."""
    command = [
        binary, "-m", str(path), "-c", str(40 * CONTEXT), "-b", "512", "-ub", "512",
        "-t", str(THREADS), "-npp", str(len(shape.prefixes[0])), "-ntg", str(shape.tokens),
        "-npl", str(shape.draws), "-pps", "-fa", "off",
    ]  # fmt: skip
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = [line for line in done.stdout.splitlines() if re.match(r"\|\s+\d", line)][-1]
        cells = [cell.strip() for cell in row.split("|")]
        yield float(cells[5]) + float(cells[7])  # prompt and generation, seconds


def ways(path: Path, shape: Shape) -> dict[str, Callable[[], Iterator[float]]]:
    found: dict[str, Callable[[], Iterator[float]]] = {"loop": lambda: with_loop(path, shape)}
    server = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    batched = os.environ.get("LLAMA_BATCHED_BENCH") or shutil.which("llama-batched-bench")
    if server:
        found["server"] = lambda: with_server(server, path, shape)
    if batched and len(shape.prefixes) == 1:
        found["batched"] = lambda: with_batched(batched, path, shape)
    found["exact"] = lambda: with_stepkit(path, shape, False)
    found["fast"] = lambda: with_stepkit(path, shape, True)
    return found


# -- the table ---------------------------------------------------------------------------------


def compare(path: Path, shape: Shape, rounds: int) -> None:
    names = list(ways(path, shape))
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            # a process of its own, so that no way sits in another's memory or threads
            command = [sys.executable, __file__, "--one", name, "--shape", shape.name]
            done = subprocess.run(
                [*command, "--path", str(path)], capture_output=True, text=True, check=True
            )
            seconds[name].append(float(done.stdout.split()[-1]))
    exact = statistics.median(seconds["exact"])
    print(f"\n{shape.name}\n")
    print(f"{'':<10}{'seconds':>9}{'tokens/s':>10}{'/ exact':>9}")
    for name in names:
        median = statistics.median(seconds[name])
        rate, ratio = shape.total / median, median / exact
        print(f"{name:<10}{median:>9.1f}{rate:>10.1f}{ratio:>9.2f}", flush=True)


def pipe(path: Path, rounds: int) -> None:
    """``step-rollout | step-score`` against the two one after the other."""
    problems = FOLDER / "problems.jsonl"
    words = "How many apples and pears do Ann and Bob have, if one of them gives some away? "
    lines = [json.dumps({"problem": f"{n}. {words * 2}", "answer": "1"}) for n in range(32)]
    problems.write_text("\n".join(lines) + "\n")
    binaries = Path(sys.executable).parent
    common = f"-t {THREADS} -c {CONTEXT} -q"
    first = (
        f"{binaries}/step-rollout {problems} -m {path} --method sample -k 4 --max-tokens 32 "
        f"--logit-bias 256=-inf {common}"
    )
    split = f"{binaries}/step-split -q"
    score = f"{binaries}/step-score -m {path} {common}"
    apart, together = [], []
    for _ in range(rounds):
        middle, end = FOLDER / "middle.jsonl", FOLDER / "end.jsonl"
        apart.append(run(f"{first} | {split} > {middle} && {score} {middle} > {end}"))
        together.append(run(f"{first} | {split} | {score} > {FOLDER / 'piped.jsonl'}"))
        assert end.read_bytes() == (FOLDER / "piped.jsonl").read_bytes()
    one, other = statistics.median(apart), statistics.median(together)
    print("\nstep-rollout | step-score, 32 problems x 4 draws x 32 tokens, seconds\n")
    print(f"one after the other {one:>7.1f}\nin one pipe         {other:>7.1f}")
    print(f"speed of the pipe   {one / other:>7.2f}", flush=True)


def run(command: str) -> float:
    start = time.perf_counter()
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    return time.perf_counter() - start


def memory(path: Path, size: str) -> None:
    """Peak memory of a run against the model, its cache and buffers as llama.cpp reports them."""
    code = (
        "import resource, sys\n"
        f"sys.argv = ['x', {str(path)!r}]\n"
        f"sys.path.insert(0, {str(ROOT / 'tests' / 'bench')!r})\n"
        "import engine\n"
        "from stepkit.model.local import llama\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "logged = []\n"
        "llama._log = type('Log', (), {'append': logged.append, 'clear': lambda self: None,\n"
        "    '__iter__': lambda self: iter(logged)})()\n"
        f"next(engine.with_stepkit(engine.Path({str(path)!r}), engine.shapes()[0], False))\n"
        "import re\n"
        "sizes = re.findall(r'(\\S+ +\\S+) buffer size = +([\\d.]+) MiB', ''.join(logged))\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(before / 1024, peak / 1024, sum(float(size) for _, size in sizes))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, peak, reported = map(float, done.stdout.split()[-3:])
    print(f"\nmemory, {size}, 32 draws x 128 tokens from one prefix of 256, MiB\n")
    print(f"model, cache and buffers as llama.cpp reports them {reported:>6.0f}")
    print(f"peak of the process                                {peak:>6.0f}")
    print(f"of which Python at the start                       {before:>6.0f}")
    print(f"peak against what llama.cpp reports                {peak / reported:>6.2f}", flush=True)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", default="Q8_0")
    for hidden in ("--one", "--shape", "--path"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options: Any = parser.parse_args(given)
    if options.one:
        shape = next(shape for shape in shapes() if shape.name == options.shape)
        times = ways(Path(options.path), shape)[options.one]()
        print(next(times))
        return
    path = model(options.kind)
    print(f"Llama of 0.3 B, {options.kind}, {THREADS} threads, {options.rounds} rounds")
    for shape in shapes():
        compare(path, shape, options.rounds)
    pipe(path, options.rounds)
    for size in SIZES:
        memory(model(options.kind, size), size)


if __name__ == "__main__":
    main()
