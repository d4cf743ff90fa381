"""A chat model as judge of steps and answers: the protocols, and the options of each.

The model itself is opened in cli/backends/judge_scorer.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from stepkit.cli.options.sampling import MAX_TOKENS, TEMPERATURE, TOP_K, TOP_P
from stepkit.cli.options.shared import SEED
from stepkit.errors import UsageError
from stepkit.runner.options import F, OptionDeclaration, declared, stack

Settings = Mapping[str, Any]

DRAWS = {"draws": 1, "temperature": 0.7, "top_k": 0, "top_p": 1.0, "max_tokens": 2048, "seed": 1}


@dataclass(frozen=True)
class JudgeProtocol:
    """One protocol of a judge.

    Attributes:
        places: the placeholders that its prompt must have.
        settings: the options that it uses, with its defaults.
        chooses: the probabilities of a few answers are read.
    """

    places: tuple[str, ...]
    settings: Settings
    chooses: bool = True

    @property
    def draws(self) -> bool:
        """Whether the judge writes text."""
        return "draws" in self.settings


VERDICTS = {"good": "correct", "bad": "wrong", "vote": "mean", "max_reason": 300}

PROTOCOLS: Mapping[str, JudgeProtocol] = {
    "choice": JudgeProtocol(("problem", "step"), {"good": "Yes", "bad": "No"}),
    "ternary": JudgeProtocol(
        ("problem", "step"), {"good": "Good", "neutral": "Neutral", "bad": "Bad"}
    ),
    "critique": JudgeProtocol(("problem", "steps"), {**VERDICTS, **DRAWS}, chooses=False),
    "align": JudgeProtocol(("problem", "steps", "solution"), {**VERDICTS, **DRAWS}, chooses=False),
    "critic": JudgeProtocol(("problem", "steps"), DRAWS, chooses=False),
    "thinkprm": JudgeProtocol(("problem", "steps"), {**DRAWS, "max_tokens": 4096}),
    "genprm": JudgeProtocol((), {**DRAWS, "temperature": 0.6, "top_k": 20, "top_p": 0.95}),
    "pairs": JudgeProtocol(("problem", "first", "second"), {"rounds": "all"}),
    "answer": JudgeProtocol(
        ("problem", "reference", "answer"),
        {"max_reason": 300, **DRAWS, "max_tokens": 512},
        chooses=False,
    ),
}
"""By name; the prompt of each is the file of that name in stepkit/text/prompts."""

KINDS = ("all", "knockout", "elimination")


class ComparisonRounds(click.ParamType):
    """``all``, ``knockout``, ``elimination`` or a number of rounds."""

    name = "rounds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in KINDS or (str(value).isdecimal() and int(value) > 0):
            return str(value)
        self.fail(f"expected {', '.join(KINDS)} or a number, got {value!r}", param, ctx)


OPTIONS: Mapping[str, OptionDeclaration] = {
    "judge_prompt": declared(
        "--judge-prompt",
        metavar="FILE",
        type=click.File(encoding="utf-8"),
        help="The judge's prompt, instead of the one that comes with stepkit.",
    ),
    "good": declared("--good", metavar="WORD", help="The judge's word for a good step."),
    "neutral": declared(
        "--neutral", metavar="WORD", help="Its word for a step neither good nor bad."
    ),
    "bad": declared("--bad", metavar="WORD", help="Its word for a bad step."),
    "draws": declared(
        "-k",
        "--draws",
        metavar="N",
        type=click.IntRange(min=1),
        help="Critiques, chains of thought or replies for each trace (default: 1).",
    ),
    "vote": declared(
        "--vote",
        type=click.Choice(["mean", "majority", "intersection"]),
        help="A step's score: the share of the critiques (default), what most say, or 0 only "
        "where all agree.",
    ),
    "max_reason": declared(
        "--max-reason",
        metavar="N",
        type=click.IntRange(1, 2000),
        help="Most characters of a reason (default: 300).",
    ),
    "rounds": declared(
        "--rounds",
        metavar="N",
        type=ComparisonRounds(),
        help="Pairs to compare: all (default), knockout, elimination, or N rounds.",
    ),
    "temperature": TEMPERATURE.changed(
        type=click.FloatRange(0, 100),
        help="Sampling temperature of what a judge writes (default: 0.7; genprm 0.6).",
    ),
    "top_k": TOP_K.changed(
        help="Sample among the N most probable tokens (default: all; genprm 20)."
    ),
    "top_p": TOP_P.changed(
        help="Sample among the tokens that make up P (default: 1; genprm 0.95)."
    ),
    "max_tokens": MAX_TOKENS.changed(
        help="Most tokens that a judge writes at a time (default: 2048; thinkprm 4096; answer 512)."
    ),
    "seed": SEED.changed(help="Seed of the whole run (default: 1)."),
}
"""The options of all protocols, by name; a value of None is: not given."""


def judge_options(function: F) -> F:
    """--judge and what goes with it."""
    protocols = ", ".join(PROTOCOLS)
    return stack(
        function,
        click.option(
            "--judge",
            metavar="HOW",
            type=click.Choice(list(PROTOCOLS)),
            help=f"With -m or --server, a chat model: ask it for verdicts ({protocols}).",
        ),
        *(option() for option in OPTIONS.values()),
    )


@dataclass(frozen=True)
class JudgeOptions:
    """A judge: its protocol and the protocol's name, its prompt and its settings."""

    name: str
    protocol: JudgeProtocol
    prompt: str
    settings: Settings

    @property
    def words(self) -> dict[str, str]:
        """The words of the answers, best first, as a prompt names them."""
        used = [key for key in ("good", "neutral", "bad") if key in self.settings]
        return {key: self.settings[key].split(",")[0].strip() for key in used}


def parse_judge_options(given: dict[str, Any]) -> JudgeOptions | None:
    """Take the options of this module out of ``given``; None without --judge.

    Raises UsageError for an option without effect, and a prompt that lacks a placeholder.
    """
    name = given.pop("judge")
    values = {key: given.pop(key) for key in OPTIONS}
    values = {key: value for key, value in values.items() if value is not None}
    if name is None:
        for key in values:
            raise UsageError(f"{OPTIONS[key].flag} goes with --judge")
        return None
    protocol = PROTOCOLS[name]
    file = values.pop("judge_prompt", None)
    for key in values:
        if key not in protocol.settings:
            users = ", ".join(user for user, other in PROTOCOLS.items() if key in other.settings)
            raise UsageError(
                f"{OPTIONS[key].flag} has no effect with --judge {name}: it is for {users}"
            )
    for key in ("good", "neutral", "bad"):
        if not values.get(key, "word").strip(" ,"):
            raise UsageError(f"{OPTIONS[key].flag}: expected a word")
    prompt = _shipped(name) if file is None else _read(file)
    from stepkit.text.prompt_template import check

    check(prompt, protocol.places, "--judge-prompt")
    return JudgeOptions(name, protocol, prompt, {**protocol.settings, **values})


def _shipped(name: str) -> str:
    from importlib.resources import files

    return (files("stepkit.text") / "prompts" / f"{name}.txt").read_text("utf-8").strip()


def _read(file: Any) -> str:
    try:
        return str(file.read()).strip()
    except UnicodeDecodeError:
        raise UsageError(f"--judge-prompt {file.name}: not UTF-8") from None
