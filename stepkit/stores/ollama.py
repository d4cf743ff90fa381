"""Ollama's store: ``manifests/HOST/NAMESPACE/MODEL/TAG`` says which of ``blobs/`` is the model.

A manifest is JSON with a list of layers, each with a ``mediaType`` and the ``digest`` of its blob.
The layer of the template is in Go's language, not Jinja, and is never looked at: prompts are laid
out by the template in the GGUF itself, as of any file. A model with an adapter or a projector is
more than its GGUF and is refused by name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

from stepkit.errors import reason
from stepkit.stores.gguf_choice import ChoiceError
from stepkit.stores.located_model import ListedModel, LocatedModel, NotFoundError
from stepkit.stores.machine import Machine
from stepkit.stores.model_reference import ModelReference

HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"
SERVICE = "/usr/share/ollama/.ollama/models"
"""The store of Ollama where it runs as a service of the system."""

LONGEST = 1 << 20
"""Bytes of a manifest."""

_LAYER = "application/vnd.ollama.image."
_MORE = ("adapter", "projector")


def folders(machine: Machine) -> list[str]:
    """Where the store may be."""
    if folder := machine.folder_of("OLLAMA_MODELS"):
        return [folder]
    return [os.path.join(machine.home, ".ollama", "models"), SERVICE]


def find(machine: Machine, reference: ModelReference) -> LocatedModel:
    """The blob of a model. Raises NotFoundError, ChoiceError."""
    levels, tag = _levels(reference.model), reference.file or TAG
    looked = []
    for root in folders(machine):
        try:
            manifest = _below(machine, os.path.join(root, "manifests"), [*levels, tag])
            if manifest is None:
                looked.append(root)
                continue
            path = _blob(machine, root, _model_layer(machine, manifest))
        except OSError as error:
            looked.append(f"{root} ({reason(error)})")
            continue
        return LocatedModel(path, f"{levels[-1]}:{tag}")
    raise NotFoundError(f"no such model in {' or '.join(looked)}")


def listed(machine: Machine) -> Iterator[ListedModel]:
    """The models in the store that can be run here."""
    for root in folders(machine):
        manifests = os.path.join(root, "manifests")
        try:
            found = sorted(machine.below(manifests))
        except OSError:
            continue
        for place in found:
            *levels, tag = place.split("/")
            try:
                blob = _blob(machine, root, _model_layer(machine, os.path.join(manifests, place)))
            except (OSError, ChoiceError, NotFoundError):
                continue
            yield ListedModel(
                "Ollama", f"ollama:{_typed(levels)}:{tag}", blob, _sizes(machine, blob)
            )


def _sizes(machine: Machine, blob: str) -> tuple[int, ...]:
    return (machine.files.size(blob),)


def _levels(model: str) -> list[str]:
    """Host, namespace and model of a name, with what it leaves out."""
    levels = model.split("/")
    return [HOST, NAMESPACE][: 3 - len(levels)] + levels


def _typed(levels: list[str]) -> str:
    """A model's name without what may be left out."""
    for usual in (HOST, NAMESPACE):
        if len(levels) > 1 and levels[0] == usual:
            levels = levels[1:]
        else:
            break
    return "/".join(levels)


def _below(machine: Machine, folder: str, levels: list[str]) -> str | None:
    """The path of the names below a folder, whose letters may be others: Ollama does not tell
    large ones from small ones."""
    for level in levels:
        names = machine.files.names(folder)
        same = [name for name in names if name.lower() == level.lower()]
        if not same:
            return None
        folder = os.path.join(folder, level if level in same else same[0])
    return folder


def _model_layer(machine: Machine, manifest: str) -> str:
    """The digest of the layer that is the model. Raises ChoiceError, OSError."""
    try:
        layers = json.loads(machine.files.start(manifest, LONGEST))["layers"]
        digests: dict[str, list[str]] = {}
        for layer in layers:
            kind = str(layer["mediaType"]).removeprefix(_LAYER).partition(";")[0]
            digests.setdefault(kind, []).append(str(layer["digest"]))
    except (ValueError, KeyError, TypeError):
        raise ChoiceError(f"{manifest}: not a manifest of a model") from None
    for more in _MORE:
        if more in digests:
            article = "an" if more == "adapter" else "a"
            raise ChoiceError(f"a model with {article} {more}, without which it is another one")
    found = digests.get("model", [])
    if len(found) != 1:
        kept = "in several files" if found else "as single tensors, or elsewhere"
        raise ChoiceError(f"kept {kept}, not as the one GGUF file that llama.cpp loads")
    return found[0]


def _blob(machine: Machine, root: str, digest: str) -> str:
    """The path of a blob. Raises ChoiceError, NotFoundError."""
    if not re.fullmatch(r"sha256[:-][0-9a-f]{64}", digest):
        raise ChoiceError(f'its manifest has no digest of a model but "{digest[:80]}"')
    for name in (digest.replace(":", "-"), digest.replace("-", ":")):
        path = os.path.join(root, "blobs", name)
        if machine.files.is_file(path):
            return path
    raise NotFoundError(f"its file is not in the store; run ollama pull: {digest[:19]}...")
