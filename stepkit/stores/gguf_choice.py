"""Which of the files of a repository is meant: the one that is named, or that of a quantisation.

The order where nothing is named is that of llama.cpp's ``-hf``: Q4_K_M, then Q8_0, then the only
one. Files that are no model (projectors, importance matrices, draft heads) are never meant, and of
a model in parts only the first is, which stands for all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from stepkit.modelfile import is_later_part, parts

PREFERRED = ("Q4_K_M", "Q8_0")
NO_MODELS = ("mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-")
"""What stands in the names of files that only help a model."""

MOST_NAMED = 8
"""Files that a message names."""


class ChoiceError(ValueError):
    """None of the files is meant, or several are; ``str()`` says which there are."""


class NoChoiceError(ChoiceError):
    """None of them is meant; among other files one may be."""


def models(names: Iterable[str]) -> list[str]:
    """The files that are models, sorted, of several parts the first."""
    return sorted(
        name
        for name in names
        if name.lower().endswith(".gguf") and not is_helper(name) and not is_later_part(name)
    )


def is_helper(name: str) -> bool:
    """Whether a file is by its name no model of its own."""
    plain = name.rpartition("/")[2].lower()
    return any(part in plain for part in NO_MODELS)


def is_file_name(chosen: str) -> bool:
    """Whether a file is named, not a quantisation."""
    return chosen.lower().endswith(".gguf")


def preferred(names: Iterable[str]) -> str | None:
    """The file that is meant where nothing is said, whatever other files there are; None where
    others decide it. Raises ChoiceError where several are of that quantisation."""
    found = _of_quantisation(models(names), PREFERRED[0])
    return _only(found, "") if found else None


def choose(names: Sequence[str], chosen: str) -> str:
    """The file that is meant.

    Args:
        names: the files of a repository, relative to it.
        chosen: a file (its folder may be left out), a quantisation, or "".

    Raises ChoiceError.
    """
    if is_file_name(chosen):
        return _named(names, chosen)
    known = models(names)
    if not known:
        raise NoChoiceError("it has no GGUF model")
    for quantisation in (chosen,) if chosen else PREFERRED:
        if found := _of_quantisation(known, quantisation):
            return _only(found, chosen)
    if chosen:
        raise NoChoiceError(f"it has no {chosen}; there is {_listed(known)}")
    return _only(known, chosen)


def missing_parts(name: str, names: Iterable[str]) -> list[str]:
    """The parts of the model ``name`` that are not among ``names``."""
    there = set(names)
    return [part for part in parts(name) if part not in there]


def _named(names: Iterable[str], chosen: str) -> str:
    if is_helper(chosen):
        raise ChoiceError(f"{chosen} only goes with a model and is none itself")
    if is_later_part(chosen):
        raise ChoiceError(f"a later part of a model; name the first one, {parts(chosen)[0]}")
    known = models(names)
    found = [name for name in known if name == chosen]
    found = found or [name for name in known if name.rpartition("/")[2] == chosen]
    if not found:
        there = f"; there is {_listed(known)}" if known else ""
        raise NoChoiceError(f"it has no such file{there}")
    return _only(found, chosen)


def _of_quantisation(known: Iterable[str], quantisation: str) -> list[str]:
    """The files with the quantisation as a whole word of their names: Q4_K is not Q4_K_M."""
    word = rf"(?<![a-z0-9]){re.escape(quantisation.lower())}(?![a-z0-9_])"
    files = list(known)
    # of a folder for each quantisation the files are meant, not what their folder is called
    plain = [name for name in files if re.search(word, name.rpartition("/")[2].lower())]
    return plain or [name for name in files if re.search(word, name.lower())]


def _only(found: Sequence[str], chosen: str) -> str:
    if len(found) == 1:
        return found[0]
    what = f"several files of {chosen}" if chosen else "several models"
    raise ChoiceError(f"it has {what}, and one has to be named: {_listed(found)}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
