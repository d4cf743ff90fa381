"""The option --aggregate of the commands that choose among attempts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from stepkit.core import selection
from stepkit.errors import UsageError
from stepkit.runner.options import F


def aggregate_option(parameter: str, repeatable: bool = False) -> Callable[[F], F]:
    """--aggregate, given to the command as ``parameter``."""
    again = "; may be repeated" if repeatable else ""
    return click.option(
        "--aggregate",
        parameter,
        metavar="NAME[:PARAMETER=VALUE,...]",
        multiple=repeatable,
        help=f"How the scores of the steps become one number: {', '.join(selection.AGGREGATES)}"
        f"{again} (default: min).",
    )


def check_aggregate(aggregate: str, votes: Sequence[str], option: str) -> str:
    """``aggregate`` itself.

    Args:
        votes: the votes, of selection.METHODS, in which it is a weight.
        option: the option that asks for them.

    Raises UsageError for an unknown aggregate, and for one that no vote can sum.
    """
    try:
        selection.aggregate_function(aggregate)
    except ValueError as error:
        raise UsageError(f"--aggregate {aggregate}: {error}") from None
    for vote in votes:
        if not selection.summable(aggregate, vote):
            name = selection.name_of(aggregate)
            raise UsageError(
                f"--aggregate {name} is no number from 0 to 1: not with {option} {vote}"
            )
    return aggregate
