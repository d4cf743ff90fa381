"""llama.cpp's own cache: ``OWNER_REPO_FILE`` in one folder, for ``-hf``, and files of any name.

``manifest=OWNER=REPO=TAG.json`` says of which repositories; the names alone do not, for a name may
hold the letter between them. Since 2026 llama.cpp downloads into the cache of Hugging Face
(hub_cache.py), with ``LLAMA_CACHE`` set in the same layout there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from stepkit.modelfile import model_name, parts
from stepkit.stores import hub_cache
from stepkit.stores.gguf_choice import choose, missing_parts, models
from stepkit.stores.located_model import ListedModel, LocatedModel, NotFoundError
from stepkit.stores.machine import Machine
from stepkit.stores.model_reference import ModelReference

SHOP = "llama.cpp"


def cache_folder(machine: Machine) -> str:
    """Where the cache is."""
    return machine.folder_of("LLAMA_CACHE") or machine.cache("llama.cpp")


def find(machine: Machine, reference: ModelReference) -> LocatedModel:
    """The file of a model. Raises NotFoundError, ChoiceError."""
    root = cache_folder(machine)
    start = _start(reference.model)
    flat = [name for name in machine.files.names(root) if name.startswith(start)]
    folder, names = root + os.sep + start, [name.removeprefix(start) for name in flat]
    if not models(names) and reference.model:
        snapshot = hub_cache.snapshot(machine, root, reference)
        folder, names = f"{snapshot}{os.sep}", list(machine.below(snapshot)) if snapshot else []
    if not models(names):
        raise NotFoundError(f"no such model in {root}")
    name = choose(names, reference.file)
    if missing := missing_parts(name, names):
        raise NotFoundError(f"of its parts {missing[0]} is not in {root}")
    return LocatedModel(folder + name, model_name(name))


def listed(machine: Machine) -> Iterator[ListedModel]:
    """The models in the cache; those of no manifest by their files' names."""
    root = cache_folder(machine)
    names = machine.files.names(root)
    repositories = {_repository(name) for name in names} - {""}
    for name in models(names):
        if missing_parts(name, names):
            continue
        whose = [one for one in repositories if name.startswith(_start(one))]
        # of several the one with the longest name: the others' end where its own goes on
        model = max(whose, key=len, default="")
        typed = f"{model}:{name.removeprefix(_start(model))}" if model else name
        paths = [os.path.join(root, part) for part in parts(name)]
        sizes = tuple(machine.files.size(path) for path in paths)
        yield ListedModel(SHOP, f"llama.cpp:{typed}", paths[0], sizes)
    for one in hub_cache.listed(machine, root, "llama.cpp"):
        yield replace(one, store=SHOP)


def _start(model: str) -> str:
    """What the names of a repository's files begin with."""
    return f"{model.replace('/', '_')}_" if model else ""


def _repository(name: str) -> str:
    """The repository of a manifest, "" where the file is none."""
    levels = name.removesuffix(".json").split("=")
    return "/".join(levels[1:3]) if levels[0] == "manifest" and len(levels) == 4 else ""
