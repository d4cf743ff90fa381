"""What repacked weights bring on this processor: the same draws with them and without.

Seconds are of the processor, on one thread, so that other work on the machine counts little;
loading is measured by a draw of one token and taken off. Other models are given as arguments.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROBLEM = (
    '{"problem": "Ann has 12 jars of 30 stamps and gives Tom 7 of them. How many are left?"}\n'
)
DRAWS, TOKENS, ROUNDS = 32, 16, 2


def seconds(model: str, tokens: int, repack: str, folder: str) -> tuple[float, int]:
    """Seconds of the processor for the draws, and the tokens drawn."""
    environment = {**os.environ, "STEPKIT_EXTRA_BUFFERS": repack, "XDG_RUNTIME_DIR": folder}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        ["step-rollout", "-q", "-m", model, "--method", "sample", "-k", str(DRAWS),
         "--max-tokens", str(tokens), "-t", "1"],
        input=PROBLEM, capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    drawn = sum(int(line.split('"tokens":')[1].split(",")[0]) for line in done.stdout.splitlines())
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, drawn


def main() -> None:
    from stepkit.model.local.llama import buffers
    from stepkit.stores.gguf_header import read_header
    from stepkit.stores.machine import SystemFiles

    print(f"{DRAWS} draws of at most {TOKENS} tokens, best of {ROUNDS}; {buffers().why}\n")
    print(f"{'':40} {'tokens per processor second':>30}")
    print(f"{'model':30} {'quant':>9} {'plain':>10} {'repacked':>10} {'times':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for model in [str(ROOT / "samples/models/policy.gguf"), *sys.argv[1:]]:
            rates = []
            for repack in "01":
                best = 0.0
                for _ in range(ROUNDS):
                    least, few = seconds(model, 1, repack, folder)
                    most, many = seconds(model, TOKENS, repack, folder)
                    best = max(best, (many - few) / (most - least))
                rates.append(best)
            header = read_header(SystemFiles(), model)
            quantisation = header.quantisation if header else ""
            name = Path(model).stem[:30]
            print(f"{name:30} {quantisation:>9} {rates[0]:10.1f} {rates[1]:10.1f} "
                  f"{rates[1] / rates[0]:8.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
