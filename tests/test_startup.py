"""What a command loads to say its help: sets of modules, not milliseconds, so that it cannot flake.

A plain filter must start like a small tool. Besides click, most of the 50 ms, a command may only
load its own modules and a few small ones of the standard library; a new one has to be let in here.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from work import Workdir, clean_environment, commands

HEAVY = {
    "httpx",
    "huggingface_hub",
    "jinja2",
    "llama_cpp",
    "math_verify",
    "numba",
    "numpy",
    "orjson",
    "sympy",
}

LIGHT = {"array", "bisect", "blake2", "copy", "dataclasses", "gc", "hashlib", "signal", "stepkit"}
"""Besides what a click command with one option loads: the standard library's, and our own."""

CLICK = """
import sys, click
@click.command()
@click.option("--by", type=click.Choice(["a"]), show_default=True)
@click.version_option("1")
def main(by): pass
"""

OURS = "import sys\nfrom stepkit.cli.{} import main"

LIST = """
try:
    main([{!r}])
finally:
    print(*sys.modules, file=sys.stderr)
"""


def loaded(work: Workdir, code: str, option: str = "--help") -> set[str]:
    """The modules that are loaded once the command has shown its help."""
    done = subprocess.run(
        [sys.executable, "-c", code + LIST.format(option)],
        cwd=work.path,
        env=clean_environment(work.path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    return set(done.stderr.split())


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("command", commands())
def test_help_and_version_load_nothing_heavy(work: Workdir, command: str, option: str) -> None:
    code = OURS.format(command.removeprefix("step-"))
    names = {name.split(".")[0] for name in loaded(work, code, option)}
    assert not names & HEAVY


@pytest.mark.parametrize("command", commands())
def test_help_loads_little_beside_click(work: Workdir, command: str) -> None:
    code = OURS.format(command.removeprefix("step-"))
    more = {name.split(".")[0].lstrip("_") for name in loaded(work, code) - loaded(work, CLICK)}
    assert more <= LIGHT
