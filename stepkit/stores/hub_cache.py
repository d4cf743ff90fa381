"""The cache of Hugging Face's hub: ``models--OWNER--REPO/snapshots/COMMIT/FILE``.

``refs/REVISION`` holds the commit of a branch or tag. The layout is that of huggingface_hub, which
is not needed to read it; llama.cpp downloads into the same cache since 2026.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from stepkit.modelfile import model_name, parts
from stepkit.stores.gguf_choice import (
    ChoiceError,
    NoChoiceError,
    choose,
    missing_parts,
    models,
    preferred,
)
from stepkit.stores.located_model import ListedModel, LocatedModel, NotFoundError
from stepkit.stores.machine import Machine
from stepkit.stores.model_reference import ModelReference

MAIN = "main"
_FOLDER = "models--"


def cache_folder(machine: Machine) -> str:
    """Where the cache is, by the variables that huggingface_hub knows."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := machine.folder_of(variable):
            return folder
    home = machine.folder_of("HF_HOME")
    shared = machine.folder_of("XDG_CACHE_HOME") or os.path.join(machine.home, ".cache")
    return os.path.join(home or os.path.join(shared, "huggingface"), "hub")


def find(machine: Machine, reference: ModelReference) -> LocatedModel:
    """The file in the cache that is meant, as far as the cache knows the repository's files.

    Raises NotFoundError, ChoiceError.
    """
    root = cache_folder(machine)
    folder = snapshot(machine, root, reference)
    names = [] if folder is None else list(machine.below(folder))
    if folder is None or not models(names):
        raise NotFoundError(f"not in the cache {root}")
    name = choose(names, reference.file)
    if missing := missing_parts(name, names):
        raise NotFoundError(f"of its parts {missing[0]} is not in the cache {root}")
    path = os.path.join(folder, name)
    return LocatedModel(path, model_name(path))


def is_cached(machine: Machine, reference: ModelReference) -> bool:
    """Whether the file that is meant is in the cache, whatever else the repository has: where
    nothing or a quantisation is named, others of its files could be meant that are not there.

    Raises ChoiceError where several files are meant.
    """
    folder = snapshot(machine, cache_folder(machine), reference)
    names = [] if folder is None else list(machine.below(folder))
    try:
        name = choose(names, reference.file) if reference.file else preferred(names)
    except NoChoiceError:
        return False
    return name is not None and not missing_parts(name, names)


def snapshot(machine: Machine, root: str, reference: ModelReference) -> str | None:
    """The folder of the repository's files at the revision, None where it is not there."""
    repository = os.path.join(root, _FOLDER + reference.model.replace("/", "--"))
    commit = _commit(machine, repository, reference.revision or MAIN)
    folder = os.path.join(repository, "snapshots", commit)
    return folder if commit and machine.files.names(folder) else None


def listed(machine: Machine, root: str | None = None, store: str = "hf") -> Iterator[ListedModel]:
    """The models in the cache, those of a branch or tag by their shortest names."""
    root = root or cache_folder(machine)
    for name in machine.files.names(root):
        owner, dashes, repository = name.removeprefix(_FOLDER).partition("--")
        if not name.startswith(_FOLDER) or not dashes:
            continue
        for revision in sorted(machine.below(os.path.join(root, name, "refs"))):
            shown = "" if revision == MAIN else revision
            reference = ModelReference(store, f"{owner}/{repository}", "", shown)
            folder = snapshot(machine, root, reference)
            yield from () if folder is None else listed_files(machine, folder, reference)


def listed_files(
    machine: Machine, folder: str, reference: ModelReference, shop: str = "Hugging Face"
) -> Iterator[ListedModel]:
    """The models in a folder of a repository's files, by the shortest names that mean them."""
    names = list(machine.below(folder))
    for name in models(names):
        if missing_parts(name, names):
            continue
        typed = _shortest(names, name)
        one = ModelReference(reference.store, reference.model, typed, reference.revision)
        paths = [os.path.join(folder, part) for part in parts(name)]
        sizes = tuple(machine.files.size(path) for path in paths)
        yield ListedModel(shop, str(one), paths[0], sizes)


def _shortest(names: list[str], name: str) -> str:
    """The quantisation in a file's name, if that means this file; else the file."""
    words = re.findall(r"(?i)(?<![a-z0-9])(?:UD-)?(?:I?Q\d\w*|B?F16|F32|MXFP4\w*)", name)
    for word in reversed(words):
        try:
            if choose(names, word) == name:
                return str(word)
        except ChoiceError:
            continue
    return name


def _commit(machine: Machine, repository: str, revision: str) -> str:
    """The commit that a branch or tag stands for in the cache; of a commit itself."""
    path = os.path.join(repository, "refs", revision)
    if machine.files.is_file(path):
        text = machine.files.start(path, 64).decode("ascii", "replace").strip()
        return text if re.fullmatch(r"[0-9a-f]{7,64}", text) else ""
    return revision if re.fullmatch(r"[0-9a-f]{40}", revision) else ""
