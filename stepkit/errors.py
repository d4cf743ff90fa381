"""The errors, by exit status.

An error knows its cause (field, what was wrong, what to do); the place (file and line) is added
by the runner, which knows it. Nothing here ends the process.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_REJECTED = 1  # finished, but some records were rejected
EXIT_USAGE = 2  # the command line cannot be carried out; nothing was read or written
EXIT_DATA = 3  # stopped at a record
EXIT_FAILED = 4  # reading, writing or a model failed
EXIT_BUG = 70  # EX_SOFTWARE: not the user's doing


class StepkitError(Exception):
    """Base of every error that a user can act on. ``str()`` is the whole one-line message."""

    exit_code = EXIT_BUG


class UsageError(StepkitError):
    """The command line is wrong: a bad option value, no such file, not a GGUF file."""

    exit_code = EXIT_USAGE


class FailedError(StepkitError):
    """Reading, writing or a model failed; the same command may work later."""

    exit_code = EXIT_FAILED


def reason(error: OSError) -> str:
    """Why the system refused, in its own words: ``no such file or directory``."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


class DataError(StepkitError):
    """One record cannot be used.

    Args:
        what: what was wrong and what to do, one line.
        field: path of the offending field, as in ``steps[2]``; empty when it is the whole line.
        place: ``file:line`` or ``file:line:column``; the runner fills it in.
    """

    exit_code = EXIT_DATA

    def __init__(self, what: str, field: str = "", place: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.field = field
        self.place = place

    def at(self, place: str) -> DataError:
        """Return the same error with its place, unless it has one."""
        self.place = self.place or place
        return self

    def __str__(self) -> str:
        field = f'field "{self.field}": ' if self.field else ""
        place = f"{self.place}: " if self.place else ""
        return f"{place}{field}{self.what}"
