"""Searches that ask for a few draws at a time, and processes that share the processor.

    [MODEL=model.gguf] python tests/bench/small_calls.py

The first table: how many draws are in flight in a call of the model, on average, when methods that
ask for few draws run with 16 problems in work, by the sample policy. A method with one draw a
problem cannot have more than 16.

The second: commands alone, and two of them at once or in a pipe; the wall time of both together as
a share of the sum of the times that each takes alone. With MODEL, a large one, the sample policy
also runs next to that: a decode of one takes some hundred times as long as one of the other, and
what counts is how long the short run takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POLICY, PRM = (str(ROOT / "samples" / "models" / f"{name}.gguf") for name in ("policy", "prm"))
DRAWS = ("-m", POLICY, "--max-tokens", "96")
IN_WORK = 16
PROBLEMS = 96

METHODS = {
    "mcts": ("--method", "mcts", "--searches", "8"),
    "best-first": ("--method", "best-first", "--searches", "3", "-k", "4"),
    "bisect": ("--method", "bisect"),
    "k = 1": ("--method", "sample", "-k", "1"),
}

COUNTED = """
import json, sys
from stepkit.model import backend
opened, open_engine = [], backend.open_engine
def counted(*given, **more):
    opened.append(open_engine(*given, **more))
    return opened[-1]
backend.open_engine = counted
from stepkit.cli.rollout import main
try:
    main(sys.argv[1:])
except SystemExit:
    (engine,) = opened
    counters, slots = engine.counters, engine._decoder.sizes.slots
    found = [slots, counters.drawn_tokens, counters.drawing_calls, counters.decodes]
    print(json.dumps(found), file=sys.stderr)
"""


def run(*args: str) -> str:
    """Run a program of this environment; returns what it says to people."""
    program = str(Path(sys.executable).parent / args[0])
    return subprocess.run([program, *args[1:]], check=True, capture_output=True, text=True).stderr


def counted(source: Path, slots: int | None, args: tuple[str, ...]) -> list[int]:
    """Slots, tokens drawn, calls that drew them, and all calls."""
    given = [*DRAWS, *args, "-q", "--window", str(IN_WORK), "-o", str(source.parent / "out.jsonl")]
    if slots is not None:
        given += ["--slots", str(slots)]
    return list(json.loads(run("python", "-c", COUNTED, str(source), *given)))


def rows(problems: Path, wrong: Path) -> None:
    print(f"{IN_WORK} problems in work, of {PROBLEMS}\n")
    print(f"{'method':12} {'slots':>5} {'tokens':>7} {'calls that draw':>15} {'all calls':>9}"
          f" {'rows a call':>11} {'of the slots':>12}")  # fmt: skip
    for name, args in METHODS.items():
        for slots in (None, IN_WORK):
            source = wrong if name == "bisect" else problems
            size, tokens, drawing, calls = counted(source, slots, args)
            print(f"{name:12} {size:5} {tokens:7,} {drawing:15,} {calls:9,}"
                  f" {tokens / drawing:11.1f} {tokens / drawing / size:12.2f}")  # fmt: skip


def seconds(*commands: str) -> list[float]:
    """The wall time of each of the shell's commands, which start together."""
    begin = time.monotonic()
    settings = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    running = [subprocess.Popen(one, shell=True, env=os.environ | settings) for one in commands]
    ends: list[float] = [0.0] * len(running)
    while not all(ends):
        for place, process in enumerate(running):
            if not ends[place] and process.poll() is not None:
                ends[place] = time.monotonic() - begin
        time.sleep(0.01)
    return ends


def together(name: str, at_once: list[str], apart: list[str]) -> None:
    alone = [seconds(one)[0] for one in apart]
    both = seconds(*at_once)
    share = max(both) / sum(alone)
    print(f"{name:30} {' + '.join(f'{one:.1f}' for one in alone):>14}"
          f" {' and '.join(f'{one:.1f}' for one in both):>14} {share:6.2f}")  # fmt: skip


def processes(problems: Path, folder: Path) -> None:
    print(f"\n{'seconds':30} {'alone':>14} {'together':>14} {'share':>6}")
    draw = f"step-rollout {problems} -m {POLICY} --max-tokens 96 -q --method sample -k 8"
    cut = "step-split -q | step-score -q --prm"
    made, scores = folder / "drawn.jsonl", folder / "scores.jsonl"
    together(
        "two runs", [f"{draw} > {made}", f"{draw} > {folder}/b.jsonl"], [f"{draw} > {made}"] * 2
    )
    together(
        "rollout | score, in a pipe",
        [f"{draw} | {cut} {PRM} > {scores}"],
        [f"{draw} > {made}", f"cat {made} | {cut} {PRM} > {scores}"],
    )
    large = os.environ.get("MODEL")
    if large:
        slow = (
            f"step-rollout {problems} --limit 4 -m {large} -q --method sample -k 4 --max-tokens 64"
        )
        both = [f"{draw} > {made}", f"{slow} > {folder}/large.jsonl"]
        together("small next to large", both, both)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = (ROOT / "samples" / "problems.jsonl").read_text().splitlines()[:PROBLEMS]
        problems, drawn, wrong = (folder / f"{one}.jsonl" for one in ("problems", "drawn", "wrong"))
        problems.write_text("\n".join(lines) + "\n")
        run("step-rollout", str(problems), *DRAWS, "-q", "--method", "sample", "-k", "4",
            "-o", str(drawn))  # fmt: skip
        run("step-split", str(drawn), "-q", "-o", str(wrong))
        traces = [json.loads(line) for line in wrong.read_text().splitlines()]
        # one a problem: attempts at one problem share the draws at the root
        first = {one["group"]: one for one in traces if one["correct"] is False}
        wrong.write_text("".join(json.dumps(one) + "\n" for one in first.values()))
        rows(problems, wrong)
        processes(problems, folder)


if __name__ == "__main__":
    main()
