"""A text with places in braces, filled in one pass: what is put in is never looked at again."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stepkit.errors import UsageError


def filled(form: str, **values: str) -> str:
    """``form`` with ``{name}`` replaced by ``values[name]``; other braces stay as they are."""
    names = "|".join(map(re.escape, values))
    return re.sub(r"\{(" + names + r")\}", lambda match: values[match[1]], form)


def check(form: str, places: Iterable[str], option: str) -> None:
    """Raise UsageError, naming it, for a place that ``form`` lacks."""
    for name in places:
        if f"{{{name}}}" not in form:
            raise UsageError(f"{option}: the prompt needs {{{name}}} in it")
