"""Ollama, LM Studio, llama.cpp and the hub's cache: made-up folders, read in place."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import pytest
from hubs import COMMIT, DictFiles, machine
from work import ROOT, Workdir

from stepkit.errors import UsageError
from stepkit.stores import hub_cache, llama_cpp_cache, lm_studio, ollama
from stepkit.stores.gguf_choice import ChoiceError
from stepkit.stores.gguf_header import read_header
from stepkit.stores.located_model import NotFoundError
from stepkit.stores.machine import Machine
from stepkit.stores.model_list import table
from stepkit.stores.model_reference import ModelReference, parse

POLICY = ROOT / "samples" / "models" / "policy.gguf"
PROBLEM = '{"problem": "Ann has 12 jars and buys 30 more. How many are there?", "answer": "42"}\n'
SMALL, LARGE = "sha256:" + "a" * 64, "sha256:" + "b" * 64
IMAGE = "application/vnd.ollama.image."


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def header(**keys: str | int) -> bytes:
    """The start of a GGUF with these keys of general."""
    found = b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys) + 1)
    for key, value in keys.items():
        found += text(f"general.{key}")
        is_text = isinstance(value, str)
        found += (
            struct.pack("<I", 8) + text(str(value)) if is_text else struct.pack("<II", 4, value)
        )
    return found + text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 10**6)


MODEL = header(architecture="llama", file_type=15)


def named(name: str) -> ModelReference:
    found = parse(name, "-m")
    assert found
    return found


def manifest(**layers: str) -> bytes:
    """Ollama's manifest of these layers."""
    rows = [{"mediaType": IMAGE + kind, "digest": digest} for kind, digest in layers.items()]
    return json.dumps({"schemaVersion": 2, "layers": rows}).encode()


OLLAMA = "/home/ann/.ollama/models"
REGISTRY = f"{OLLAMA}/manifests/registry.ollama.ai/library"


def ollama_store(root: str = OLLAMA, **layers: str) -> dict[str, bytes]:
    """A store with ``smol:latest``."""
    layers = layers or {"model": SMALL, "template": LARGE, "params": LARGE}
    return {
        f"{root}/manifests/registry.ollama.ai/library/smol/latest": manifest(**layers),
        f"{root}/blobs/sha256-{'a' * 64}": MODEL,
        f"{root}/blobs/sha256-{'b' * 64}": b"{{ .Prompt }}",
    }


# ---- Ollama ----------------------------------------------------------------------------------


def test_ollama_leads_to_the_blob_of_the_model_layer() -> None:
    found = ollama.find(machine(ollama_store()), named("ollama:smol"))
    assert (found.path, found.name) == (f"{OLLAMA}/blobs/sha256-{'a' * 64}", "smol:latest")
    assert ollama.find(machine(ollama_store()), named("ollama:Smol:latest")).path == found.path
    assert ollama.find(machine(ollama_store()), named("ollama:library/smol")).path == found.path


def test_ollama_keeps_models_of_other_registries() -> None:
    place = f"{OLLAMA}/manifests/hf.co/ann/Toy-GGUF/Q8_0"
    store = ollama_store() | {place: manifest(model=SMALL)}
    found = ollama.find(machine(store), named("ollama:hf.co/ann/Toy-GGUF:Q8_0"))
    assert found.name == "Toy-GGUF:Q8_0"
    assert "ollama:hf.co/ann/Toy-GGUF:Q8_0" in table(machine(store))


def test_ollama_is_where_its_variable_says_else_at_home_else_of_the_service() -> None:
    for root, variables in [
        ("/data/ollama", {"OLLAMA_MODELS": "/data/ollama"}),
        ("/home/ann/big", {"OLLAMA_MODELS": "~/big"}),
        (ollama.SERVICE, {}),
    ]:
        store = machine(ollama_store(root), **variables)
        assert ollama.find(store, named("ollama:smol")).path.startswith(f"{root}/blobs/")
    hidden = machine(ollama_store(), OLLAMA_MODELS="/data/ollama")
    with pytest.raises(NotFoundError, match=r"no such model in /data/ollama$"):
        ollama.find(hidden, named("ollama:smol"))


def test_a_store_of_the_service_that_cannot_be_read_is_named() -> None:
    files = DictFiles(ollama_store(ollama.SERVICE), forbidden=(ollama.SERVICE,))
    closed = Machine(files, {}, "/home/ann")
    with pytest.raises(NotFoundError, match=f"{ollama.SERVICE} .permission denied."):
        ollama.find(closed, named("ollama:smol"))
    assert table(closed).startswith("no models in ")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"model": SMALL, "adapter": LARGE}, "a model with an adapter"),
        ({"model": SMALL, "projector": LARGE}, "a model with a projector"),
        ({"template": LARGE}, "kept as single tensors, or elsewhere"),
        ({"tensor; name=a": SMALL}, "kept as single tensors"),
        ({"model": "sha256:../../../x"}, "no digest of a model"),
    ],
)
def test_what_llama_cpp_cannot_load_is_refused_by_name(
    layers: dict[str, str], message: str
) -> None:
    with pytest.raises(ChoiceError, match=message):
        ollama.find(machine(ollama_store(**layers)), named("ollama:smol"))


def test_a_manifest_without_its_blob_says_how_to_get_it() -> None:
    with pytest.raises(NotFoundError, match="run ollama pull: sha256:cccccccccccc"):
        store = machine(ollama_store(model="sha256:" + "c" * 64))
        ollama.find(store, named("ollama:smol"))
    broken = ollama_store() | {f"{REGISTRY}/smol/latest": b"<html>"}
    with pytest.raises(ChoiceError, match="not a manifest"):
        ollama.find(machine(broken), named("ollama:smol"))


# ---- LM Studio, llama.cpp, the hub's cache -----------------------------------------------------


def test_lm_studio_is_at_home_or_where_its_pointer_and_settings_say() -> None:
    for root, more in [
        ("/home/ann/.lmstudio/models", {}),
        ("/home/ann/.cache/lm-studio/models", {}),
        ("/big/models", {"/home/ann/.lmstudio-home-pointer": b"/big\n"}),
        ("/m", {"/home/ann/.lmstudio/settings.json": b'{"downloadsFolder": "/m"}'}),
    ]:
        files = {f"{root}/ann/toy/toy-Q8_0.gguf": MODEL, f"{root}/ann/toy/mmproj.gguf": MODEL}
        found = lm_studio.find(machine({**files, **more}), named("lmstudio:ann/toy"))
        assert (found.path, found.name) == (f"{root}/ann/toy/toy-Q8_0.gguf", "toy-Q8_0.gguf")
    with pytest.raises(NotFoundError, match=r"no such model in /home/ann/.lmstudio/models or"):
        lm_studio.find(machine({}), named("lmstudio:ann/toy"))


CACHE = "/home/ann/.cache/llama.cpp"


def test_llama_cpp_keeps_the_files_of_a_repository_under_long_names() -> None:
    files = {
        f"{CACHE}/ann_toy_x_toy-Q8_0.gguf": MODEL,
        f"{CACHE}/ann_toy_mmproj-toy.gguf": MODEL,
        f"{CACHE}/ann_toy_toy-Q4_K_M.gguf": MODEL,
        f"{CACHE}/manifest=ann=toy=latest.json": b"{}",
        f"{CACHE}/manifest=ann=toy_x=latest.json": b"{}",
        f"{CACHE}/other.gguf": MODEL,
    }
    store = machine(files)
    for name, path in [
        ("llama.cpp:ann/toy:Q4_K_M", "ann_toy_toy-Q4_K_M.gguf"),
        ("llama.cpp:ann/toy_x", "ann_toy_x_toy-Q8_0.gguf"),
        ("llama.cpp:other.gguf", "other.gguf"),
    ]:
        assert llama_cpp_cache.find(store, named(name)).path == f"{CACHE}/{path}"
    assert llama_cpp_cache.find(store, named("llama.cpp:ann/toy_x")).name == "toy-Q8_0.gguf"
    typed = [one.typed for one in llama_cpp_cache.listed(store)]
    assert typed == ["llama.cpp:ann/toy:toy-Q4_K_M.gguf", "llama.cpp:ann/toy_x:toy-Q8_0.gguf",
                     "llama.cpp:other.gguf"]  # fmt: skip
    for one in llama_cpp_cache.listed(store):
        assert llama_cpp_cache.find(store, named(one.typed)).path == one.path


def hub_files(root: str, *names: str, revision: str = "main") -> dict[str, bytes]:
    """The cache of ann/toy with these files."""
    folder = f"{root}/models--ann--toy"
    files = {f"{folder}/snapshots/{COMMIT}/{name}": MODEL for name in names}
    return {f"{folder}/refs/{revision}": COMMIT.encode(), **files}


def test_llama_cpp_of_2026_has_the_hubs_layout_in_its_own_folder() -> None:
    store = machine(hub_files("/big", "toy-Q8_0.gguf"), LLAMA_CACHE="/big")
    found = llama_cpp_cache.find(store, named("llama.cpp:ann/toy"))
    assert found.path == f"/big/models--ann--toy/snapshots/{COMMIT}/toy-Q8_0.gguf"
    assert [one.typed for one in llama_cpp_cache.listed(store)] == ["llama.cpp:ann/toy:Q8_0"]


def test_the_hubs_cache_is_where_its_variables_say() -> None:
    for root, variables in [
        ("/home/ann/.cache/huggingface/hub", {}),
        ("/a", {"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}),
        ("/b/hub", {"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}),
        ("/c/huggingface/hub", {"XDG_CACHE_HOME": "/c"}),
    ]:
        store = machine(hub_files(root, "toy-Q8_0.gguf"), **variables)
        found = hub_cache.find(store, named("hf:ann/toy:Q8_0"))
        assert found.path.startswith(f"{root}/models--ann--toy/snapshots/{COMMIT}/")


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("hf:ann/toy", False),  # the hub may have Q4_K_M
        ("hf:ann/toy:Q8_0", True),
        ("hf:ann/toy:toy-Q8_0.gguf", True),
        ("hf:ann/toy:Q4_K_M", False),
        ("hf:ann/toy:Q6_K", False),  # a part of it is missing
        ("hf:ann/toy:Q8_0@v1", False),
        (f"hf:ann/toy:Q8_0@{COMMIT}", True),
        ("hf:ann/other:Q8_0", False),
    ],
)
def test_whether_the_hub_has_to_be_asked(name: str, there: bool) -> None:
    files = hub_files("/c", "toy-Q8_0.gguf", "toy-Q6_K-00001-of-00002.gguf")
    assert hub_cache.is_cached(machine(files, HF_HUB_CACHE="/c"), named(name)) is there


# ---- the header and the list ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "kind", "quantisation"),
    [
        ({"architecture": "llama", "file_type": 15}, "", "Q4_K_M"),
        ({"architecture": "llama", "type": "model", "file_type": 7}, "", "Q8_0"),
        ({"architecture": "llama", "type": "adapter"}, "an adapter", ""),
        ({"architecture": "clip", "type": "mmproj"}, "a projector", ""),
        ({"architecture": "clip", "file_type": 1}, "a projector", "F16"),
        ({"type": "imatrix"}, "an importance matrix", ""),
        ({"architecture": "llama", "file_type": 1000}, "", ""),
    ],
)
def test_what_a_header_says(keys: Mapping[str, str | int], kind: str, quantisation: str) -> None:
    found = read_header(DictFiles({"x": header(**keys)}), "x")
    assert found and (found.kind, found.quantisation) == (kind, quantisation)


def test_a_header_that_is_cut_off_is_read_as_far_as_it_goes() -> None:
    whole = header(architecture="llama", file_type=15)
    for length in range(len(whole)):
        found = read_header(DictFiles({"x": whole[:length]}), "x")
        assert (found is None) == (length < 24)
    assert read_header(DictFiles({"x": b"<html>" * 10}), "x") is None


def test_the_list_has_every_store_and_only_models() -> None:
    files = {
        **ollama_store(),
        **hub_files("/home/ann/.cache/huggingface/hub", "toy-Q8_0.gguf", "mmproj-F16.gguf",
                    "toy-Q4_K_M-00001-of-00002.gguf", "toy-Q4_K_M-00002-of-00002.gguf"),
        "/home/ann/.lmstudio/models/ann/toy/odd.gguf": header(architecture="clip"),
        "/home/ann/.lmstudio/models/ann/toy/page.gguf": b"<html>",
        "/home/ann/.lmstudio/models/ann/toy/toy-v2.gguf": MODEL,
    }  # fmt: skip
    rows = [line.split() for line in table(machine(files)).splitlines()]
    size = str(len(MODEL))
    assert rows == [
        ["STORE", "NAME", "SIZE", "QUANT"],
        ["Hugging", "Face", "hf:ann/toy:Q4_K_M", str(2 * len(MODEL)), "B", "Q4_K_M"],
        ["Hugging", "Face", "hf:ann/toy:Q8_0", size, "B", "Q4_K_M"],
        ["Ollama", "ollama:smol:latest", size, "B", "Q4_K_M"],
        ["LM", "Studio", "lmstudio:ann/toy:toy-v2.gguf", size, "B", "Q4_K_M"],
    ]


# ---- through the command --------------------------------------------------------------------


def fill(work: Workdir, store: Mapping[str, bytes]) -> None:
    """Put the files of /home/ann into the directory, which is the commands' home."""
    for name, data in store.items():
        path = work.path / name.removeprefix("/home/ann/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(POLICY.read_bytes() if data is MODEL else data)


def test_a_model_of_ollama_draws_as_its_file_does(work: Workdir) -> None:
    fill(work, ollama_store())
    options = ("--method", "sample", "-k", "1", "--max-tokens", "8", "-t", "1")
    done = work.run("step-rollout", "-m", "ollama:smol", *options, input=PROBLEM)
    file = work.run("step-rollout", "-m", POLICY, *options, input=PROBLEM)
    assert done.status == 0, done.err
    assert done.out.replace(b'"name":"smol:latest"', b'"name":"policy.gguf"') == file.out


def test_the_command_lists_what_is_there_without_reading_anything(work: Workdir) -> None:
    fill(work, {**ollama_store(), "/home/ann/.lmstudio/models/ann/toy/toy-F32.gguf": MODEL})
    done = work.run("step-rollout", "--list-models", input=None)
    assert done.status == 0
    lines = done.out.decode().splitlines()
    assert [line.split()[-4:] for line in lines[1:]] == [
        ["ollama:smol:latest", "3.25", "MB", "F32"],
        ["lmstudio:ann/toy:F32", "3.25", "MB", "F32"],
    ]


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"{{ .Prompt }}", "not a GGUF file"),
        (header(architecture="llama", type="adapter"), "an adapter, not a model"),
        (header(architecture="clip"), "a projector, not a model"),
    ],
)
def test_a_blob_that_is_no_model_is_one_line(work: Workdir, blob: bytes, message: str) -> None:
    fill(work, ollama_store() | {f"{OLLAMA}/blobs/sha256-{'a' * 64}": blob})
    done = work.run("step-rollout", "-m", "ollama:smol", input=PROBLEM)
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith("step-rollout: --model ollama:smol: ")
    assert message in done.err and done.err.count("\n") == 1


def test_a_projector_is_no_model_by_its_path_either(work: Workdir) -> None:
    path = work.write("vision.gguf", header(architecture="clip", type="mmproj"))
    done = work.run("step-rollout", "-m", path, input=PROBLEM)
    assert (done.status, done.err) == (
        2, f"step-rollout: --model {path}: a projector, not a model\n"
    )  # fmt: skip


def test_a_model_that_guides_is_looked_up_before_the_policy_is_loaded(work: Workdir) -> None:
    options = ("--method", "beam", "--prm", "ollama:none")
    done = work.run("step-rollout", "-m", POLICY, *options, input=PROBLEM)
    assert done.status == 2
    assert done.err.startswith("step-rollout: --prm ollama:none: no such model in ")


def test_a_name_that_is_a_path_of_nothing_is_told_the_forms() -> None:
    from stepkit.stores.locate import locate

    for name in ("Qwen/Qwen2.5", "ollma:smol"):
        with pytest.raises(UsageError, match=r"names of models begin with hf:, ollama:"):
            locate(name, "-m")
    with pytest.raises(UsageError, match=r"no such file or directory$"):
        locate("models/none.gguf", "-m")
