"""A directory to work in, where the commands run as a user runs them.

Subprocesses, because what matters (flush-time failures, signals, exit statuses) happens outside of
what an in-process runner sees; a scrubbed environment, because a developer's own must not matter.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tests" / "fixtures" / "tool.py"
SCRUBBED = ("PYTHON", "NUMBA_", "STEPKIT_", "NO_COLOR", "COLUMNS", "TERM", "LC_", "LANG")


def commands() -> list[str]:
    """The commands that pyproject.toml declares, in its order."""
    text = (ROOT / "pyproject.toml").read_text()
    scripts = text.split("[project.scripts]")[1].split("\n[")[0]
    return re.findall(r"^(step-[\w-]+) *=", scripts, re.M)


class Done(NamedTuple):
    """A finished command: exit status (negative: the signal), output and errors."""

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[bytes]:
        """The lines of the output, without newlines."""
        return self.out.split(b"\n")[:-1]


class Workdir:
    """A temporary directory and the commands run in it.

    A command is the name of an installed one, or of one in tests/fixtures/tool.py (``blocks``).
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, content: bytes | str) -> Path:
        """Write a file and return its path."""
        path = self.path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return (self.path / name).read_bytes()

    def names(self) -> list[str]:
        """The files of the directory, sorted."""
        return sorted(path.name for path in self.path.iterdir())

    def run(
        self,
        command: str,
        *args: str | Path,
        input: bytes | str | None = b"",
        timeout: float = 60,
        **settings: Any,
    ) -> Done:
        """Run a command to its end. ``input`` None leaves standard input to ``settings``."""
        if isinstance(input, str):
            input = input.encode()
        process = self.start(
            command, *args, **({"stdin": subprocess.PIPE} if input is not None else {}), **settings
        )
        try:
            out, err = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return Done(process.returncode, out or b"", (err or b"").decode())

    def start(self, command: str, *args: str | Path, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a command; standard output and error are pipes unless given otherwise."""
        environment = settings.pop("environment", {})
        settings.setdefault("stdout", subprocess.PIPE)
        settings.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(
            [*argv(command), *map(str, args)],
            cwd=self.path,
            env=clean_environment(self.path) | environment,
            # Background shells start their children with SIGINT ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **settings,
        )

    def killed(self, journal: str, size: int, command: str, *args: str | Path) -> bytes:
        """Start a command and kill it when its journal has more than ``size`` bytes, which is
        before it is done; returns the journal."""
        process = self.start(command, *args)
        path = self.path / journal
        while process.poll() is None and not (path.exists() and path.stat().st_size > size):
            time.sleep(0.002)
        process.kill()
        process.communicate()
        assert path.exists(), "it was done before it could be killed"
        return path.read_bytes()


def argv(command: str) -> list[str]:
    """How a command is started: the installed script, or this tree's."""
    if command == "step-pipe":
        return ["sh", "-c"]
    if not command.startswith("step-"):
        return [sys.executable, str(TOOL), command]
    installed = Path(sys.executable).parent / command
    if installed.exists():
        return [str(installed)]
    return [sys.executable, str(ROOT / "bin" / command)]


@cache
def _locks() -> tempfile.TemporaryDirectory[str]:
    """Where the commands of this process take turns on the processor: in a pipe they do, but tests
    that run side by side, on one thread each, do not wait for each other."""
    return tempfile.TemporaryDirectory(prefix="stepkit-tests-")


def clean_environment(home: Path) -> dict[str, str]:
    """The environment without what could change a command's behaviour."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(SCRUBBED)}
    return kept | {
        "HOME": str(home),
        "XDG_RUNTIME_DIR": _locks().name,
        "STEPKIT_CACHE": _locks().name,
        "LC_ALL": "C",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
    }


def missing(tool: str) -> NoReturn:
    """Skip the test, by name."""
    import pytest

    pytest.skip(f"missing: {tool}")


def read_available(stream: IO[bytes], seconds: float) -> bytes:
    """One line that arrives within ``seconds``, or what is there by then."""
    import select

    ready, _, _ = select.select([stream], [], [], seconds)
    return os.read(stream.fileno(), 1 << 16) if ready else b""
