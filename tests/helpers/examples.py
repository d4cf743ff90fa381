"""Examples in documents: where they stand, how they are run, and whether their output is as shown.

In a block marked ``console`` each line that begins with ``$ `` is a command, and what follows is
its output, in which ``...`` stands for anything: within a line, or as a line of its own for any
number of lines. In a block marked ``console approximate`` digits and bars may be others, too: a
draw may differ on another machine.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from work import ROOT, clean_environment


def typed(line: str) -> str:
    """A line of mdoc source as a reader types it."""
    line = line.removeprefix(r"\&").replace(r"\e", "\\").replace(r"\-", "-")
    return line.replace(r"\(aq", "'").replace(r"\(dq", '"')


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line or a block as a user would, with the samples at hand."""
    if not (folder / "samples").exists():
        (folder / "samples").symlink_to(ROOT / "samples")
    if "step-head checkpoint" in command:
        own_checkpoint(folder)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=clean_environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def own_checkpoint(folder: Path) -> None:
    """What a user of step-head brings: a checkpoint with a head, its backbone, how it is read."""
    import ggufs
    from checkpoints import head_tensors, write_checkpoint

    (folder / "checkpoint").mkdir()
    write_checkpoint(folder / "checkpoint" / "model.safetensors", head_tensors("linear", 64, 1))
    ggufs.write_llama(folder / "backbone.gguf", context=1024, spare=8)
    profile = '{"kind": "hidden-head", "head": "linear", "outputs": 1, "map": "sigmoid", '
    (folder / "profile.json").write_text(profile + '"marker": "<|step|>"}')


class Block(NamedTuple):
    """A fenced block: its mark, the number of its first line and its text."""

    mark: str
    line: int
    text: str


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a Markdown file."""
    text = path.read_text()
    found = re.finditer(r"^```([\w ]*)\n(.*?)^```$", text, re.M | re.S)
    return [Block(m[1], text.count("\n", 0, m.start()) + 2, m[2]) for m in found]


def transcript(text: str) -> list[tuple[str, str]]:
    """(command, expected output) of a console block; a command goes on after a backslash."""
    parts = re.split(r"^\$ ((?:.*\\\n)*.*)\n", text, flags=re.M)
    assert not parts[0], "a console block begins with a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def agrees(expected: str, got: str) -> bool:
    """Whether ``got`` is ``expected``, ``...`` standing for anything."""
    pattern = re.escape(expected)
    pattern = re.sub(r"(?m)^\\\.\\\.\\\.\\?\n", r"(?s:.*)", pattern)
    return re.fullmatch(pattern.replace(r"\.\.\.", ".*"), got) is not None


def without_numbers(text: str) -> str:
    """The text with every digit, and every piece of a bar, as the same character."""
    return re.sub("[░▏▎▍▌▋▊▉█]", "░", re.sub("[0-9]", "0", text))
