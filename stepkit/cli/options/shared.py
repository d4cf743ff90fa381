"""Options that several commands have, whatever they do with records; see also runner/options.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from stepkit.runner.options import F, declared

SAMPLER = declared(
    "--sampler",
    metavar="ID|INDEX",
    help="Whose draws count, where several samplers drew.",
)
SEED = declared(
    "--seed",
    metavar="N",
    type=int,
    default=1,
    show_default=True,
    help="Seed of the whole run.",
)
UNDECIDED = declared(
    "--undecided",
    type=click.Choice(["apart", "wrong"]),
    default="apart",
    show_default=True,
    help="Leave draws without a verdict out of n, or count them as wrong.",
)
MAX_STEPS = declared(
    "--max-steps",
    metavar="N",
    type=click.IntRange(min=1),
    help="At most N steps; the last one takes the rest.",
)
KEEP_TOKENS = declared(
    "--keep-tokens",
    is_flag=True,
    help="Keep the log-probability of every token drawn.",
)
KEEP_CONFIDENCE = declared(
    "--keep-confidence",
    is_flag=True,
    help="With --method sample: the same, and at every token what all measures of confidence "
    "read, for step-score --kept.",
)
PROFILE = declared(
    "--profile",
    metavar="NAME|FILE",
    help="How the model is read: a family or a JSON file.",
)


def listing(name: str, text: Callable[[], str], **settings: Any) -> Callable[[F], F]:
    """An option ``name`` that prints ``text`` and exits."""

    def show(context: click.Context, option: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            click.echo(text())
            context.exit()

    return click.option(
        name, is_flag=True, is_eager=True, expose_value=False, callback=show, **settings
    )
