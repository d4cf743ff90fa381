"""Names of models: their forms, and what is none."""

from __future__ import annotations

import pytest

from stepkit.errors import UsageError
from stepkit.stores.model_reference import ModelReference, parse


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("hf:ann/toy-GGUF", ("hf", "ann/toy-GGUF", "", "")),
        ("hf:ann/toy:Q4_K_M", ("hf", "ann/toy", "Q4_K_M", "")),
        ("hf:ann/toy:sub/toy.gguf@refs/pr/1", ("hf", "ann/toy", "sub/toy.gguf", "refs/pr/1")),
        ("hf:ann/toy@v1.0", ("hf", "ann/toy", "", "v1.0")),
        ("ollama:smol", ("ollama", "smol", "", "")),
        ("ollama:qwen2.5:0.5b", ("ollama", "qwen2.5", "0.5b", "")),
        ("ollama:hf.co/ann/toy:Q8_0", ("ollama", "hf.co/ann/toy", "Q8_0", "")),
        ("ollama:localhost:5000/ann/toy:1", ("ollama", "localhost:5000/ann/toy", "1", "")),
        ("lmstudio:ann/toy:Q8_0", ("lmstudio", "ann/toy", "Q8_0", "")),
        ("llama.cpp:ann/toy", ("llama.cpp", "ann/toy", "", "")),
        ("llama.cpp:ann_toy_x.gguf", ("llama.cpp", "", "ann_toy_x.gguf", "")),
    ],
)
def test_a_name_of_a_store(name: str, reference: tuple[str, str, str, str]) -> None:
    found = parse(name, "-m")
    assert found == ModelReference(*reference)
    assert reference[1] == "" or str(found) == name


@pytest.mark.parametrize("path", ["a.gguf", "./hf:a/b", "/x/ollama:y", "C:x.gguf", "hf", "HF:a/b"])
def test_a_path_is_no_name(path: str) -> None:
    assert parse(path, "-m") is None


@pytest.mark.parametrize(
    "name",
    ["hf:", "hf:toy", "hf:a/b/c", "hf:a/b:", "hf:a/b@", "hf:a/../b", "hf:a/b:../x.gguf",
     "hf:a/b:/x.gguf", "hf:a--b/c", "hf:a/b@../x", "ollama:", "ollama:../x", "ollama:a/b/c/d",
     "ollama:a:b/c:..", "lmstudio:toy", "lmstudio:a/b@v1", "llama.cpp:a:b.gguf"],
)  # fmt: skip
def test_a_name_of_another_form_is_refused_with_the_form(name: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(name, "--prm")
    assert str(error.value).startswith(f"--prm {name}: expected {name.split(':')[0]}:")
