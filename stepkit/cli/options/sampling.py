"""The options that say how tokens are chosen."""

from __future__ import annotations

from math import isfinite
from typing import Any

import click

from stepkit.cli.options.escapes import TEXT
from stepkit.errors import UsageError
from stepkit.runner.options import F, declared, stack, titled

TEMPERATURE = declared(
    "-T",
    "--temperature",
    metavar="X",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Sampling temperature; 0 takes the most probable token.",
)
TOP_K = declared(
    "--top-k",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    help="Sample among the N most probable tokens (default: all).",
)
TOP_P = declared(
    "--top-p",
    metavar="P",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    help="Sample among the most probable tokens that make up P (default: 1, all).",
)
MAX_TOKENS = declared(
    "--max-tokens",
    metavar="N",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Most tokens in a draw; a draw that reaches it is cut off and undecided.",
)


def sampling_options(function: F) -> F:
    """Options for each field of engine.Sampling, by its name."""
    return stack(
        function,
        TEMPERATURE(),
        TOP_K(),
        TOP_P(),
        click.option(
            "--min-p",
            metavar="P",
            type=click.FloatRange(0, 1),
            default=0.0,
            help="Leave out tokens below P times the most probable one (default: 0, none).",
        ),
        click.option(
            "--repetition-penalty",
            metavar="X",
            type=click.FloatRange(min=0, min_open=True),
            default=1.0,
            help="Divide the logits of tokens that were there before by X (default: 1, off).",
        ),
        click.option(
            "--logit-bias",
            metavar="TOKEN=X",
            type=TEXT,
            multiple=True,
            help="Add X to a token's logit; -inf bans it (repeatable; token by text or id).",
        ),
        click.option(
            "--grammar",
            metavar="FILE",
            type=click.File(encoding="utf-8"),
            help="Draw only what follows this GBNF grammar.",
        ),
        titled("When to stop", MAX_TOKENS()),
        titled(
            "When to stop",
            click.option(
                "--stop",
                metavar="TEXT",
                type=TEXT,
                multiple=True,
                help="Text that ends a draw and is left out (repeatable; \\n is a line break).",
            ),
        ),
        titled(
            "When to stop",
            click.option(
                "--stop-at-answer",
                is_flag=True,
                help="End a draw where its answer is complete: a box closed, a line #### n ended.",
            ),
        ),
        group="Sampling",
    )


def check(sampling: dict[str, Any]) -> None:
    """Raise UsageError for a number that is not finite."""
    for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
        if not isfinite(sampling[name]):
            raise UsageError(f"--{name.replace('_', '-')}: expected a finite number")


def refuse_local_sampling(sampling: dict[str, Any]) -> None:
    """Raise UsageError for an option that servers do not have, or understand differently."""
    for name, off in (("repetition_penalty", 1.0), ("logit_bias", ()), ("grammar", None)):
        if sampling[name] != off:
            raise UsageError(f"--{name.replace('_', '-')} is for a model that runs here")
