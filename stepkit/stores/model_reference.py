"""The names of models: which store, which model of it, and which of the model's files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stepkit.errors import UsageError

FORMS = {
    "hf": "hf:OWNER/REPO[:FILE or QUANT][@REVISION]",
    "ollama": "ollama:NAME[:TAG]",
    "lmstudio": "lmstudio:PUBLISHER/MODEL[:FILE or QUANT]",
    "llama.cpp": "llama.cpp:OWNER/REPO[:FILE or QUANT]",
}
"""How a model of each store is named."""

_PAIR = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_REVISION = re.compile(r"[\w][\w./-]*")


@dataclass(frozen=True)
class ModelReference:
    """A model by its name in a store.

    Attributes:
        store: a key of FORMS.
        model: the model there: OWNER/REPO, or what Ollama calls it, without the tag.
        file: its file or its quantisation, or ""; of Ollama the tag.
        revision: a branch, tag or commit, or "".
    """

    store: str
    model: str
    file: str = ""
    revision: str = ""

    def __str__(self) -> str:
        file = f":{self.file}" if self.file else ""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.store}:{self.model}{file}{revision}"


def parse(name: str, option: str) -> ModelReference | None:
    """The reference that a name is, or None where it is a path.

    A name that begins with a store is never a path; ``./hf:x`` is a file of that name.

    Args:
        option: by which the user named it.

    Raises UsageError for a name that is not of its store's form.
    """
    store, colon, rest = name.partition(":")
    if not colon or store not in FORMS:
        return None
    if store == "ollama":
        found = _ollama(rest)
    elif store == "llama.cpp" and rest.lower().endswith(".gguf") and "/" not in rest:
        found = ModelReference(store, "", rest) if ":" not in rest else None
    else:
        found = _repository(store, rest)
    if found is None:
        raise UsageError(f"{option} {name}: expected {FORMS[store]}")
    return found


def _repository(store: str, rest: str) -> ModelReference | None:
    revision = ""
    if store == "hf" and "@" in rest:
        rest, _, revision = rest.rpartition("@")
        if not _REVISION.fullmatch(revision) or ".." in revision:
            return None
    model, colon, file = rest.partition(":")
    # the two are told apart by the layout of caches, where "--" stands for the slash
    sound = _PAIR.fullmatch(model) and "--" not in model and ".." not in model
    if not sound or bool(colon) != bool(file) or ".." in file.split("/") or file.startswith("/"):
        return None
    return ModelReference(store, model, file, revision)


def _ollama(rest: str) -> ModelReference | None:
    """[HOST/][NAMESPACE/]MODEL[:TAG]; a host may have a port."""
    folder, slash, last = rest.rpartition("/")
    name, colon, tag = last.partition(":")
    levels = [*folder.split("/"), name] if slash else [name]
    sound = all(re.fullmatch(r"[\w][\w.:-]*", level) for level in levels) and len(levels) <= 3
    if not sound or (colon and not re.fullmatch(r"[\w][\w.-]*", tag)):
        return None
    return ModelReference("ollama", folder + slash + name, tag)
