"""LM Studio's folder of models: ``PUBLISHER/MODEL/FILE``, as on Hugging Face.

Its home is named by ``~/.lmstudio-home-pointer``, else it is ``~/.lmstudio``; before version 0.3.6
the models were in ``~/.cache/lm-studio``. ``settings.json`` in its home may name another folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from stepkit.modelfile import model_name
from stepkit.stores.gguf_choice import choose, missing_parts, models
from stepkit.stores.hub_cache import listed_files
from stepkit.stores.located_model import ListedModel, LocatedModel, NotFoundError
from stepkit.stores.machine import Machine
from stepkit.stores.model_reference import ModelReference

LONGEST = 1 << 20
"""Bytes of its settings."""


def folders(machine: Machine) -> list[str]:
    """Where its models may be."""
    pointer = os.path.join(machine.home, ".lmstudio-home-pointer")
    home = _text(machine, pointer).strip() or os.path.join(machine.home, ".lmstudio")
    found = [os.path.join(home, "models"), os.path.join(machine.home, ".cache/lm-studio/models")]
    try:
        chosen = json.loads(_text(machine, os.path.join(home, "settings.json")))["downloadsFolder"]
    except (ValueError, KeyError, TypeError):
        chosen = None
    return [*([chosen] if isinstance(chosen, str) and chosen else []), *found]


def find(machine: Machine, reference: ModelReference) -> LocatedModel:
    """The file of a model. Raises NotFoundError, ChoiceError."""
    for root in folders(machine):
        folder = os.path.join(root, reference.model)
        names = list(machine.below(folder))
        if models(names):
            name = choose(names, reference.file)
            if missing := missing_parts(name, names):
                raise NotFoundError(f"of its parts {missing[0]} is not in {folder}")
            path = os.path.join(folder, name)
            return LocatedModel(path, model_name(path))
    raise NotFoundError(f"no such model in {' or '.join(folders(machine))}")


def listed(machine: Machine) -> Iterator[ListedModel]:
    """The models in its folders."""
    for root in dict.fromkeys(folders(machine)):
        for publisher in machine.files.names(root):
            for model in machine.files.names(os.path.join(root, publisher)):
                reference = ModelReference("lmstudio", f"{publisher}/{model}")
                folder = os.path.join(root, publisher, model)
                yield from listed_files(machine, folder, reference, "LM Studio")


def _text(machine: Machine, path: str) -> str:
    """The text of a small file, "" where there is none."""
    try:
        return machine.files.start(path, LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""
