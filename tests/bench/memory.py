"""The peak of memory of step-rollout at its defaults, beside what it may be.

usage: memory.py [MODEL...]

Models are the GGUF files named (or in MODELS), besides the shipped one. Problems come from FILE
(default samples/problems.jsonl), LIMIT of them (default 4), DRAWS attempts at each (default 8),
--max-tokens TOKENS (default 512). Since every draw may get as long as that, the cache has its whole
size from the first draw on: a run is stopped once its memory has not grown for SECONDS of the
processor (default 20).

Anonymous memory (RssAnon of /proc/PID/status) and mapped pages of files (RssFile) are sampled every
50 ms. The bound is 1.3 x file + sequences x context x bytes a token + 300 MB of anonymous memory.
With BEFORE, the step-rollout of another installation, its peak stands beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "samples" / "models" / "policy.gguf"
FILE = Path(os.environ.get("FILE", ROOT / "samples" / "problems.jsonl"))
LIMIT, DRAWS = os.environ.get("LIMIT", "4"), os.environ.get("DRAWS", "8")
TOKENS = os.environ.get("TOKENS", "512")
SECONDS = float(os.environ.get("SECONDS", "20"))
BEFORE = os.environ.get("BEFORE", "")
MB = 1_000_000
EVERY = 0.05
COLUMNS = ("model", "file", "sequences", "context", "cache", "anon", "bound", "pages", "mapped",
           "before")  # fmt: skip


@dataclass
class Peak:
    """The most anonymous memory in bytes, the mapped pages at that time, and what -v said."""

    anonymous: int = 0
    mapped: int = 0
    said: str = ""


def memory_of(process: int) -> tuple[int, int]:
    """Bytes of anonymous memory and of mapped pages; zeros once it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0, 0
    found = dict(re.findall(r"(RssAnon|RssFile):\s+(\d+) kB", status))
    return int(found.get("RssAnon", 0)) * 1024, int(found.get("RssFile", 0)) * 1024


def processor_seconds(process: int) -> float:
    """Seconds of processor time so far: other programs may keep the machine busy."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_of(command: list[str]) -> Peak:
    """Run ``command`` until SECONDS of processor time after the last growth of its memory, or to
    its end."""
    peak, grown = Peak(), 0.0
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        running = subprocess.Popen(
            [*command, "-v", "-o", f"{folder}/out.jsonl"], stderr=said, stdout=subprocess.DEVNULL
        )
        while running.poll() is None:
            anonymous, mapped = memory_of(running.pid)
            if anonymous > peak.anonymous * 1.01:
                grown = processor_seconds(running.pid)
            if anonymous >= peak.anonymous:
                peak.anonymous, peak.mapped = anonymous, mapped
            if processor_seconds(running.pid) > grown + SECONDS:
                running.terminate()
                running.wait()
            time.sleep(EVERY)
        said.seek(0)
        peak.said = said.read()
    return peak


def row(name: str, model: Path, command: list[str], before: str) -> str:
    """A line of the table: what was chosen, the peak, and the bound."""
    from stepkit.model.local.llama import Model

    loaded = Model(str(model))
    bytes_per_token, mapped = loaded.cache_bytes_per_token, loaded.mapped_bytes
    loaded.close()
    peak = peak_of(command)
    found = re.findall(r"(\d+) slots and (\d+) shelves of (\d+) tokens", peak.said)
    slots, shelves, context = map(int, found[-1])
    file, cache = model.stat().st_size, (slots + shelves) * context * bytes_per_token
    bound = 1.3 * file + cache + 300 * MB
    columns: list[object] = [name, file / MB, f"{slots} + {shelves}", context, cache / MB]
    columns += [peak.anonymous / MB, bound / MB, peak.mapped / MB, "yes" if mapped else "no"]
    columns += [before]
    verdict = "" if peak.anonymous <= bound else "  ABOVE THE BOUND"
    return line(columns) + verdict


def line(columns: Sequence[object]) -> str:
    """One line of the table, numbers in whole MB."""
    name, *texts = [f"{one:.0f}" if isinstance(one, float) else str(one) for one in columns]
    return f"{name:<34}" + "".join(f"{text:>10}" for text in texts)


def main() -> None:
    named = [*sys.argv[1:], *os.environ.get("MODELS", "").split()]
    print(f"{FILE.name}, {LIMIT} problems, {DRAWS} attempts each, --max-tokens {TOKENS}; MB = 10^6")
    print()
    print("anon: peak of anonymous memory, before: of the version before, pages: of files then\n")
    print(line(COLUMNS))
    for model in (SHIPPED, *map(Path, named)):
        options = [str(FILE), "--limit", LIMIT, "-m", str(model), "--method", "sample"]
        options += ["-k", DRAWS, "--max-tokens", TOKENS]
        here = str(Path(sys.executable).with_name("step-rollout"))
        before = f"{peak_of([BEFORE, *options]).anonymous / MB:.0f}" if BEFORE else "-"
        print(row(model.name.removesuffix(".gguf"), model, [here, *options], before), flush=True)


if __name__ == "__main__":
    main()
