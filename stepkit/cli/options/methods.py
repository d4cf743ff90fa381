"""The options of step-rollout that belong to its methods (search/method_registry.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan
from typing import Any

import click

from stepkit.cli.options import guidance
from stepkit.cli.options.escapes import TEXT
from stepkit.cli.options.shared import MAX_STEPS
from stepkit.errors import DataError, UsageError
from stepkit.runner.help_pages import HelpTopic
from stepkit.runner.options import F, OptionDeclaration, declared, stack, titled
from stepkit.search.method_registry import DEFAULT, METHODS, REQUIRED, SearchMethod, methods_with
from stepkit.search.skip_rules import parse_skip
from stepkit.search.until_rules import MOST, parse_question

COUNT = click.IntRange(min=1)

OPTIONS: Mapping[str, OptionDeclaration] = {
    "draws": declared(
        "-k",
        "--draws",
        metavar="K",
        type=COUNT,
        help="Draws from each prefix, or attempts at each problem (default: 8; particle 16, "
        "speculate 1).",
    ),
    "at": declared(
        "--at",
        metavar="NAME",
        help="Draw attempts from the last good step: before the first error by a label or score.",
    ),
    "global": declared(
        "--global",
        is_flag=True,
        default=None,
        help="Refine whole attempts: draw them anew, with the attempt in the prompt.",
    ),
    "critique": declared(
        "--critique",
        metavar="FIELD",
        help="With --at or --global: say in the prompt what is wrong, by a field of the "
        "record, or the why of a score or label (scores.judge).",
    ),
    "refine": declared(
        "--refine",
        metavar="FORMAT",
        type=TEXT,
        help="With --at or --global: what to ask instead of the problem, with {problem}, "
        "{attempt}, {kept}, {step}, {number} and {critique} in it.",
    ),
    "until": declared(
        "--until",
        metavar="RULE",
        help="Draw from a prefix until it is decided: first-success, hard, wilson, drop, "
        "posterior or progress, with parameters as in wilson:half=0.1; at most K draws.",
    ),
    "skip": declared(
        "--skip",
        metavar="STEPS",
        help="Do not draw after these steps, which share the value before them: short (they say "
        "nothing) or certain[:P] (the model gave them at least the probability P, 0.95).",
    ),
    "budget": declared(
        "--budget",
        metavar="LIMITS",
        help="Spend so much in the whole run, where it matters most: draws=N, tokens=N or "
        "seconds=N, with commas between them; reads all records first.",
    ),
    "by": declared(
        "--by",
        metavar="RULE",
        type=TEXT,
        help="How drawn text is cut into steps: lines, blank, sentence, marker, ... "
        "(default: the record's own rule, else lines).",
    ),
    "max_steps": MAX_STEPS,
    "width": declared(
        "--width",
        metavar="N[,N...]",
        type=click.STRING,
        help="Steps drawn at each node; several numbers are for each level from the root.",
    ),
    "searches": declared(
        "--searches",
        metavar="N",
        type=COUNT,
        help="Rounds of the search for each record.",
    ),
    "exploration": declared(
        "--exploration",
        metavar="C",
        type=click.FloatRange(min=0),
        help="Weight of what was visited less.",
    ),
    "select": declared(
        "--select",
        type=click.Choice(["uct", "puct"]),
        help="What a tree search goes down by (default: uct).",
    ),
    "self_weight": declared(
        "--self-weight",
        metavar="W",
        type=click.FloatRange(0, 1),
        help="Weight of the model's own opinion of a step, in addition to outcomes (default: 0).",
    ),
    "points": declared(
        "--points",
        metavar="N",
        type=COUNT,
        help="Forks in each attempt (default: 2).",
    ),
    "rounds": declared(
        "--rounds",
        metavar="N",
        type=COUNT,
        help="Rounds of forks (default: 1).",
    ),
    "most_draws": declared(
        "--most-draws",
        metavar="N",
        type=COUNT,
        help="At most N draws for each record.",
    ),
    "most_tokens": declared(
        "--most-tokens",
        metavar="N",
        type=COUNT,
        help="No further draw for a record once its draws have N tokens.",
    ),
    "most_seconds": declared(
        "--most-seconds",
        metavar="S",
        type=click.FloatRange(min=0, min_open=True),
        help="No further draw for a record S seconds after its first.",
    ),
    **guidance.OPTIONS,
}
"""The options of all methods, by name; a value of None is: not given."""

COMPARING = ("progress", "posterior")
"""Stopping rules that compare the values of neighbouring prefixes."""

DRAWING = "What to draw"
GROUPS: Mapping[str, str] = {
    **dict.fromkeys(("at", "global", "critique", "refine"), "Refining attempts"),
    **dict.fromkeys(
        ("until", "skip", "budget", "most_draws", "most_tokens", "most_seconds"), "When to stop"
    ),
    **dict.fromkeys(
        ("width", "searches", "exploration", "select", "self_weight", "points", "rounds"),
        "Searches",
    ),
    **dict.fromkeys(guidance.OPTIONS, "Searches by a PRM or a draft model"),
}
"""The groups of the options in the help, where that is not DRAWING."""

LARGER = {"draws", "searches", "most_draws", "most_tokens", "most_seconds", "budget"}
"""Options that a resumed run may have larger or smaller: the draws are the same."""


def method_options(function: F) -> F:
    """--method and the options of all methods."""
    return stack(
        function,
        click.option(
            "--method",
            type=click.Choice(list(METHODS)),
            metavar="NAME",
            help=f"How to draw, one of the methods below (default: {DEFAULT}).",
        ),
        *(
            titled(GROUPS.get(name, DRAWING), option())
            for name, option in OPTIONS.items()
            if methods_with(name)
        ),
        group=DRAWING,
    )


def method_topics() -> dict[str, HelpTopic]:
    """What --method NAME --help shows, by name."""
    return {name: _topic(method) for name, method in METHODS.items()}


def _topic(method: SearchMethod) -> HelpTopic:
    defaults = {option: _in_words(value) for option, value in method.options.items()}
    if method.until:
        defaults["until"] = ", ".join(method.until)
    return HelpTopic(method.about, method.paper, method.example, defaults)


def _in_words(default: object) -> str:
    if default is REQUIRED:
        return "needed"
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return str(default) if isinstance(default, int | float | str) else ""


def parse_method_options(method: str | None, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The method and its options, those of OPTIONS being taken out of ``given``.

    Raises UsageError for an option that the method does not use, and for a malformed value.
    """
    values = {name: given.pop(name) for name in OPTIONS if name in given}
    values = {name: value for name, value in values.items() if value is not None}
    name = method or ("sample" if REFINING & values.keys() else DEFAULT)
    own = METHODS[name].options
    for option in values:
        if option not in own:
            users = " or ".join(methods_with(option)) or "no method"
            raise UsageError(
                f"{OPTIONS[option].flag} has no effect with --method {name}: "
                f"it goes with --method {users}"
            )
    parsed_values = {option: _parse(option, value) for option, value in values.items()}
    guidance.check(parsed_values)
    if "skip" in parsed_values and parsed_values.get("until", {}).get("name") in COMPARING:
        raise UsageError("--skip: --until progress and posterior ask about every step themselves")
    if "until" in parsed_values:
        parsed_values = _with_draws(name, parsed_values)
    options = {**own, **parsed_values}
    for option, value in options.items():
        if value is REQUIRED:
            raise UsageError(f"--method {name} needs {OPTIONS[option].flag}")
    return name, options


def _with_draws(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options of a method with a stopping rule, which may fix the number of draws itself."""
    rule = given["until"]["name"]
    if rule not in METHODS[method].until:
        can = ", ".join(METHODS[method].until)
        raise UsageError(f"--until {rule} is no stopping rule of --method {method}; it has {can}")
    if rule == "hard" and "draws" in given:
        raise UsageError("--until hard sets the number of draws itself: leave out -k")
    return {"draws": MOST[rule], **given} if rule in MOST else given


def deciding_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a method that a resume must agree on."""
    free = LARGER | {*guidance.MODELS}
    return {name: value for name, value in options.items() if name not in free}


def _parse(option: str, value: Any) -> Any:
    return PARSERS[option](value) if option in PARSERS else value


def parse_rule(text: str) -> dict[str, Any]:
    """``NAME[:KEY=VALUE,...]`` as a rule of text/segment.py; a pattern may hold commas."""
    from stepkit.text.segment import check

    by, _, rest = text.partition(":")
    rule: dict[str, Any] = {"by": by}
    while rest:
        key, _, rest = rest.partition("=")
        value, rest = (rest, "") if key == "pattern" else rest.partition(",")[::2]
        rule[key.replace("-", "_")] = _json(value)
    try:
        check(rule)
    except DataError as error:
        field = (error.field or "").removeprefix("split").removeprefix(".")
        raise UsageError(f"--by {text}: {field + ': ' if field else ''}{error.what}") from None
    return rule


def _json(value: str) -> Any:
    if value in ("true", "false"):
        return value == "true"
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        return value


def parse_limits(text: str) -> dict[str, float]:
    """``draws=N,tokens=N,seconds=N``, some of them."""
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            limits[name] = float(value)
        except ValueError:
            limits[name] = nan
        if name not in ("draws", "tokens", "seconds") or not limits[name] > 0:
            raise UsageError(f"--budget {text}: expected draws=N, tokens=N or seconds=N, above 0")
    return limits


def parse_widths(text: str) -> list[int]:
    """Numbers from 1 up, with commas between them."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--width {text}: expected numbers from 1 up, with commas between them")
    return [int(part) for part in parts]


PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "until": parse_question,
    "by": parse_rule,
    "width": parse_widths,
    "skip": parse_skip,
    "budget": parse_limits,
}
"""The parsers of options whose text has parts."""

REFINING = {"at", "global", "critique", "refine"}
"""Options that mean --method sample where no method is given."""
