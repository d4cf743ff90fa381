"""From the name of a model to its file on this machine; nothing is fetched, nothing loaded."""

from __future__ import annotations

from stepkit.errors import FailedError, UsageError, reason
from stepkit.modelfile import check_file, model_name
from stepkit.stores import hub_cache, llama_cpp_cache, lm_studio, ollama
from stepkit.stores.gguf_choice import ChoiceError
from stepkit.stores.gguf_header import read_header
from stepkit.stores.located_model import LocatedModel, NotFoundError
from stepkit.stores.machine import Machine, this_machine
from stepkit.stores.model_reference import FORMS, ModelReference, parse

STORES = {
    "hf": hub_cache.find,
    "ollama": ollama.find,
    "lmstudio": lm_studio.find,
    "llama.cpp": llama_cpp_cache.find,
}


def locate(name: str, option: str, machine: Machine | None = None) -> LocatedModel:
    """The GGUF file that a name stands for, checked to be a model.

    Args:
        name: a path, or a name of one of the forms in model_reference.FORMS.
        option: by which the user named it.
        machine: where to look (default: this one).

    Raises UsageError for what is not there, is none or is not the only one.
    """
    machine = machine or this_machine()
    reference = parse(name, option)
    if reference is None:
        _check_path(name, option)
        found = LocatedModel(name, model_name(name))
    else:
        found = _of_store(machine, reference, f"{option} {name}")
        check_file(found.path, f"{option} {name}:")
    header = read_header(machine.files, found.path)
    if header is not None and header.kind:
        raise UsageError(f"{option} {name}: {header.kind}, not a model")
    return found


def needs_fetching(name: str, option: str, machine: Machine | None = None) -> bool:
    """Whether a name is of Hugging Face's hub, and which file it means is for the hub to say or
    the file not in the cache. Raises UsageError."""
    reference = parse(name, option)
    if reference is None or reference.store != "hf":
        return False
    try:
        return not hub_cache.is_cached(machine or this_machine(), reference)
    except ChoiceError as error:
        raise UsageError(f"{option} {name}: {error}") from None


def check_name(name: str, option: str) -> None:
    """Raise UsageError for a model that is not there, or whose name is of no form; a model that
    can be fetched passes."""
    if not needs_fetching(name, option):
        locate(name, option)


def _of_store(machine: Machine, reference: ModelReference, what: str) -> LocatedModel:
    try:
        return STORES[reference.store](machine, reference)
    except (ChoiceError, NotFoundError) as error:
        raise UsageError(f"{what}: {error}") from None
    except OSError as error:
        raise FailedError(f"{what}: {error.filename}: {reason(error)}") from None


def _check_path(path: str, option: str) -> None:
    try:
        check_file(path, option)
    except UsageError as error:
        if "no such file" in str(error) and _looks_like_a_name(path):
            forms = ", ".join(f"{store}:" for store in FORMS)
            raise UsageError(f"{error}; names of models begin with {forms}") from None
        raise


def _looks_like_a_name(path: str) -> bool:
    """Whether no GGUF file was meant: a repository, or a store spelled otherwise."""
    return not path.lower().endswith(".gguf") and (":" in path or path.count("/") == 1)
