"""Compile a kernel once its work repays it; until then run the very same function in plain Python.

Importing Numba and loading a cached kernel costs about as much as some hundred thousand
plain-Python node visits. So, as with renting skis: run plain until the visits so far have cost as
much as the import, then compile. At worst that wastes twice the better choice, and a short run
never imports Numba or NumPy at all. Results are equal bit for bit either way (tested).

Kernels take typed arrays from the standard library (``array.array``), which plain Python indexes
and compiled code reads and writes in place. They live in kernels.py only, call no other kernel,
hold no globals, and never use fastmath (which would make NaN tests false).
"""

from __future__ import annotations

import functools
import os
from array import array
from collections.abc import Callable
from typing import Any

REPAID = 1_000_000
"""Elements visited in plain Python (about 0.4 s) after which compiling pays."""

Kernel = Callable[..., None]


class jit:
    """Wraps ``kernel(*arguments)`` as ``call(work, *arguments)``, ``work`` = elements it visits.

    Arguments are typed arrays (changed in place) or plain numbers. The environment variable
    STEPKIT_NO_JIT keeps everything uncompiled.

    Args:
        plain: what runs instead of the kernel until then, with the same results bit for bit;
            None is the kernel itself, in plain Python.
        repaid: elements visited uncompiled after which compiling pays; None is REPAID.

    Attributes:
        visited: elements so far.
    """

    def __init__(
        self, kernel: Kernel, plain: Kernel | None = None, repaid: int | None = None
    ) -> None:
        functools.update_wrapper(self, kernel)
        self._kernel = kernel
        self._plain = plain or kernel
        self._repaid = repaid
        self._compiled: Kernel | None = None
        self.visited = 0

    def __call__(self, work: int, *arguments: Any) -> None:
        self.visited += work
        if self._compiled is None:
            early = self.visited < (self._repaid or REPAID)
            if early or os.environ.get("STEPKIT_NO_JIT"):
                self._plain(*arguments)
                return
            self._compiled = _compile(self._kernel)
        self._compiled(*_views(arguments))


def _compile(kernel: Kernel) -> Kernel:
    import numba

    try:
        return numba.njit(cache=True, nogil=True)(kernel)
    except RuntimeError:  # neither the package's __pycache__ nor the user's cache is writable
        return numba.njit(nogil=True)(kernel)


def _views(arguments: tuple[Any, ...]) -> list[Any]:
    """NumPy views (no copies) of the typed arrays; numbers as they are."""
    import numpy

    return [numpy.asarray(a) if isinstance(a, array) else a for a in arguments]
