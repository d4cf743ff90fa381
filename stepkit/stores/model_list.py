"""The table of the models on this machine, by the names that mean them; none is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from stepkit.stores import hub_cache, llama_cpp_cache, lm_studio, ollama
from stepkit.stores.gguf_header import read_header
from stepkit.stores.located_model import ListedModel
from stepkit.stores.machine import Machine, this_machine

HEADINGS = ("STORE", "NAME", "SIZE", "QUANT")
_STORES = (hub_cache.listed, ollama.listed, lm_studio.listed, llama_cpp_cache.listed)


def table(machine: Machine | None = None) -> str:
    """The models, a line each, or where was looked for them."""
    machine = machine or this_machine()
    rows = [HEADINGS]
    for listed in _STORES:
        for one in _readable(listed(machine)):
            quantisation = _quantisation(machine, one.path)
            if quantisation is not None:
                size = shown_size(sum(one.sizes))
                rows.append((one.store, one.typed, size, quantisation))
    if len(rows) == 1:
        return f"no models in {', '.join(_folders(machine))}"
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for store, name, size, quantisation in rows:
        cells = (store.ljust(widths[0]), name.ljust(widths[1]), size.rjust(widths[2]))
        lines.append("  ".join([*cells, quantisation]).rstrip())
    return "\n".join(lines)


def shown_size(size: int) -> str:
    """Bytes for people: three digits and a unit of a thousand."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def _readable(models: Iterator[ListedModel]) -> Iterator[ListedModel]:
    """The models up to a folder that cannot be read."""
    try:
        yield from models
    except OSError:
        return


def _quantisation(machine: Machine, path: str) -> str | None:
    """How a model is quantised ("" unknown), None for a file that is no model."""
    try:
        header = read_header(machine.files, path)
    except OSError:
        return None
    return None if header is None or header.kind else header.quantisation


def _folders(machine: Machine) -> list[str]:
    one = [hub_cache.cache_folder(machine), llama_cpp_cache.cache_folder(machine)]
    return [*one, *ollama.folders(machine), *lm_studio.folders(machine)]
