"""The options that say where a step ends, parsed into a rule of text/segment.py."""

from __future__ import annotations

from typing import Any

import click

from stepkit.cli.options.shared import MAX_STEPS
from stepkit.errors import DataError, UsageError
from stepkit.runner.options import F, stack
from stepkit.text.segment_rules import DEFAULT_RULE, OWN_KEYS, RULES, check

OWNER = {key: rule for rule, keys in OWN_KEYS.items() for key in keys}
"""Option -> the only rule that has it."""


def segmentation_options(function: F) -> F:
    """--by and what goes with it; the command's function takes them as ``**given``."""
    count = click.IntRange(min=1)
    return stack(
        function,
        click.option(
            "--by",
            type=click.Choice(RULES),
            default=DEFAULT_RULE["by"],
            show_default=True,
            help="Where a step ends: after a line, or what belongs together with it, at line ends, "
            "blank lines, sentences, 'Step k:', --pattern, cue words, so many tokens, or tokens of "
            "low probability.",
        ),
        click.option("--pattern", metavar="REGEX", help="With --by regex: its matches end steps."),
        click.option("--start", is_flag=True, help="With --by regex: matches begin steps instead."),
        click.option("--size", metavar="N", type=count, help="With --by tokens: N a step."),
        click.option(
            "--below",
            metavar="P",
            type=click.FloatRange(0, 1, min_open=True),
            help="With --by confidence: tokens less probable than P begin steps.",
        ),
        click.option(
            "--top", metavar="N", type=count, help="With --by confidence: the N least probable."
        ),
        click.option(
            "--min-chars",
            metavar="N",
            type=count,
            help="Join a step shorter than N characters to the next one.",
        ),
        MAX_STEPS(),
        click.option(
            "--cut-code", "code", is_flag=True, help="Also cut inside fenced blocks of code."
        ),
    )


def rule_of(by: str, **given: Any) -> dict[str, Any]:
    """The rule as the record's ``split`` has it. Raises UsageError for an invalid one.

    Args:
        given: the values of the other options of this module (None or False: not given).
    """
    given = {
        name: value for name, value in given.items() if value is not None and value is not False
    }
    for name in given:
        if OWNER.get(name, by) != by:
            raise UsageError(f"--{name} has no effect with --by {by}; it is for --by {OWNER[name]}")
    if by == "regex" and "pattern" not in given:
        raise UsageError("--by regex needs --pattern")
    if by == "tokens" and "size" not in given:
        raise UsageError("--by tokens needs --size")
    if by == "confidence" and ("below" in given) == ("top" in given):
        raise UsageError("--by confidence needs one of --below, --top and --quantile")
    rule = {"by": by, **given}
    try:
        check(rule)
    except DataError as error:
        raise UsageError(f"--{error.field.removeprefix('split.')}: {error.what}") from None
    return rule
