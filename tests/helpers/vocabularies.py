"""Real vocabularies and chat templates, from the source archive of llama-cpp-python.

``make vocabularies`` (or this file, run) fetches the archive with pip and takes out what the tests
need; nothing is built. Without them the tests that need them skip by name.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "build" / "vocabularies"
VOCABULARIES = ("qwen2", "llama-bpe", "llama-spm")
TEMPLATES = ("meta-llama-Llama-3.1-8B-Instruct", "Qwen-Qwen2.5-7B-Instruct")
WANTED = (
    *(f"ggml-vocab-{name}.gguf" for name in VOCABULARIES),
    *(f"templates/{name}.jinja" for name in TEMPLATES),
)
"""Paths below the archive's vendor/llama.cpp/models."""


def vocabulary(name: str) -> Path:
    """A GGUF of a vocabulary without weights."""
    return FOLDER / f"ggml-vocab-{name}.gguf"


def template(name: str) -> str:
    """A chat template's source."""
    return (FOLDER / f"{name}.jinja").read_text()


def present() -> bool:
    return all((FOLDER / Path(wanted).name).exists() for wanted in WANTED)


def fetch() -> None:
    """Download the archive of the installed version and take out what is wanted."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    release = f"llama-cpp-python=={version('llama-cpp-python')}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory() as folder:
        only = ["--no-deps", "--no-binary", "llama-cpp-python"]
        subprocess.run([*pip, *only, "--dest", folder, release], check=True)
        with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as archive:
            for member in archive:
                inside = member.name.partition("/vendor/llama.cpp/models/")[2]
                content = archive.extractfile(member) if inside in WANTED else None
                if content is not None:
                    (FOLDER / Path(inside).name).write_bytes(content.read())
    if not present():
        sys.exit(f"{release}: its archive lacks some of {', '.join(WANTED)}")


if __name__ == "__main__":
    fetch()
