"""Whether llama.cpp may repack weights for this processor: told by a probe, once a build.

Built by gcc 12 and others its AMX path crashes on quantised weights: the compiler takes the stores
to the tile configuration for dead. So a build with AMX is tried in a child process
(buffer_probe.py), and what came of it is kept for this very library and processor. A build
without AMX has no such path and is not tried.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from signal import Signals

LONGEST = 120.0
"""Seconds that the probe has; it takes about one."""

REBUILD = "-fno-tree-dse -fno-dse (man step-rollout, ENVIRONMENT)"
GAIN = "1.7 times as fast (0.3 B, Q8_0)"

Probe = Callable[[], str]


@dataclass(frozen=True)
class BufferVerdict:
    """Whether weights are repacked.

    Attributes:
        repack: they are.
        why: which path is taken and why, and what a rebuild would bring, for -v.
    """

    repack: bool
    why: str


def verdict(information: str, library: Path, probe: Probe | None = None) -> BufferVerdict:
    """Decide for a build; STEPKIT_EXTRA_BUFFERS, 1 or 0, decides it otherwise.

    Args:
        information: llama.cpp's line about what it was built for.
        library: the folder of its libraries.
        probe: what is tried (default: the child process).
    """
    forced = os.environ.get("STEPKIT_EXTRA_BUFFERS", "")
    if forced:
        how = "repacked" if forced != "0" else "plain"
        return BufferVerdict(forced != "0", f"weights {how}, by STEPKIT_EXTRA_BUFFERS")
    processor = processor_text()
    if "AMX_INT8 = 1" not in information:
        unused = "amx_int8" in processor.split()
        more = f"; this processor has AMX, with which a build with {REBUILD} draws {GAIN}"
        return BufferVerdict(True, f"weights repacked, without AMX{more if unused else ''}")
    found = _remembered(_key(library, processor), probe or run_probe)
    if found == "safe":
        return BufferVerdict(True, "weights repacked, with AMX: the probe found it safe")
    return BufferVerdict(
        False,
        f"weights plain: with AMX this build of llama.cpp {found}; built with {REBUILD} it draws "
        f"{GAIN}",
    )


def run_probe() -> str:
    """Try the build in a child process: "safe", or what is wrong with it."""
    command = [sys.executable, "-m", "stepkit.model.local.buffer_probe"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST
        )
    except (OSError, subprocess.TimeoutExpired):
        return "does not come to an end"
    if done.returncode < 0:
        return f"crashes ({Signals(-done.returncode).name})"
    return done.stdout.strip() if done.returncode == 0 and done.stdout else "fails"


def processor_text() -> str:
    """What decides which instructions run: the model and the features of the first processor."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        import platform

        return f"{platform.machine()} {platform.processor()}"
    first = text.split("\n\n")[0].splitlines()
    return "\n".join(line for line in first if line.startswith(("model name", "flags")))


def _key(library: Path, processor: str) -> str:
    """A hash of the libraries' bytes and of the processor."""
    state = blake2b(processor.encode(), digest_size=12)
    for path in sorted({path.resolve() for path in library.glob("*ggml*")}):
        state.update(path.read_bytes())
    return state.hexdigest()


def _remembered(key: str, probe: Probe) -> str:
    """What came of the probe, which runs once for each key."""
    path = _folder() / f"buffers-{key}.json"
    try:
        kept = json.loads(path.read_text())["verdict"]
        if isinstance(kept, str):
            return kept
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = probe()
    part = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps({"verdict": found}))
        part.replace(path)
    except OSError:
        pass  # it is tried again the next time
    return found


def _folder() -> Path:
    """Where verdicts are kept."""
    own, shared = os.environ.get("STEPKIT_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own) if own else Path(shared or Path.home() / ".cache") / "stepkit"
