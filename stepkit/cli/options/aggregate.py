"""The options --aggregate and --map of the commands that choose among attempts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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


def map_option(parameter: str, repeatable: bool = False) -> Callable[[F], F]:
    """--map, given to the command as ``parameter``: a VoteMap, or several."""
    again = "; may be repeated" if repeatable else ""
    return click.option(
        "--map",
        parameter,
        metavar="NAME[:PARAMETER=VALUE]",
        multiple=repeatable,
        callback=_parsed,
        help="How scores that are no probabilities vote: sigmoid (of each step), softmax:t=1 or "
        f"rank:p=1 (Borda votes with a power){again}.",
    )


def _parsed(context: click.Context, option: click.Parameter, value: Any) -> Any:
    try:
        if isinstance(value, tuple):
            return tuple(dict.fromkeys(map(selection.parse_map, value)))
        return None if value is None else selection.parse_map(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None


def check_map(mapped: selection.VoteMap | None, by: str, option: str) -> None:
    """Refuse a map that decides nothing in a choice, or cannot be summed in it.

    Args:
        by: of selection.METHODS.
        option: the option that asks for it.

    Raises UsageError.
    """
    if mapped is None:
        return
    if selection.METHODS[by].reads != "scores" or (by == "best" and not mapped.of_steps):
        raise UsageError(f"--map {mapped} has no effect with {option} {by}")
    if by == "log-weighted" and not mapped.of_steps:
        raise UsageError(
            f"--map {mapped} makes votes, not probabilities that have odds: not with {option} {by}"
        )


def check_aggregate(
    aggregate: str,
    votes: Sequence[str],
    option: str,
    mapped: selection.VoteMap | None = None,
) -> str:
    """``aggregate`` itself.

    Args:
        votes: the votes, of selection.METHODS, in which it is a weight.
        option: the option that asks for them.
        mapped: how it votes; a softmax and a rank can be taken of any number.

    Raises UsageError for an unknown aggregate, and for one that no vote can sum.
    """
    try:
        selection.aggregate_function(aggregate)
    except ValueError as error:
        raise UsageError(f"--aggregate {aggregate}: {error}") from None
    for vote in votes if mapped is None or mapped.of_steps else ():
        if not selection.summable(aggregate, vote):
            name = selection.name_of(aggregate)
            raise UsageError(
                f"--aggregate {name} is no number from 0 to 1: not with {option} {vote}"
            )
    return aggregate
