"""The option --aggregate of those who choose among attempts, checked alike for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.core import selection
from stepkit.errors import UsageError


def checked(how: str, votes: Sequence[str], option: str) -> str:
    """``how`` itself. Raises UsageError when it is no aggregate or is none of these ``votes``.

    Args:
        votes: the votes, of selection.METHODS, in which it is a weight.
        option: the option that asks for them.
    """
    try:
        selection.aggregate_function(how)
    except ValueError as error:
        raise UsageError(f"--aggregate {how}: {error}") from None
    for by in votes:
        if not selection.summable(how, by):
            name = selection.name_of(how)
            raise UsageError(f"--aggregate {name} is no number from 0 to 1: not with {option} {by}")
    return how
