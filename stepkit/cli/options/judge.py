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
from stepkit.runner.help_pages import HelpTopic
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
        about: what it asks for, in a line.
        paper, example: where it is published, and a command that runs it, for its help.
    """

    places: tuple[str, ...]
    settings: Settings
    chooses: bool = True
    about: str = ""
    paper: str = ""
    example: str = ""

    @property
    def draws(self) -> bool:
        """Whether the judge writes text."""
        return "draws" in self.settings


VERDICTS = {"good": "correct", "bad": "wrong", "vote": "mean", "max_reason": 300}

PROTOCOLS: Mapping[str, JudgeProtocol] = {
    "choice": JudgeProtocol(
        ("problem", "step"),
        {"good": "Yes", "bad": "No"},
        about="the probability of Yes to a question about each step",
        example="step-score steps.jsonl -m chat.gguf --judge choice",
    ),
    "ternary": JudgeProtocol(
        ("problem", "step"),
        {"good": "Good", "neutral": "Neutral", "bad": "Bad"},
        about="the probabilities of Good, Neutral and Bad for each step",
        example="step-score steps.jsonl -m chat.gguf --judge ternary",
    ),
    "critique": JudgeProtocol(
        ("problem", "steps"),
        {**VERDICTS, **DRAWS},
        chooses=False,
        about="a critique of all steps with a verdict on each",
        paper="Xie et al., CAPO, arXiv 2508.02298",
        example="step-score steps.jsonl -m chat.gguf --judge critique -k 4",
    ),
    "align": JudgeProtocol(
        ("problem", "steps", "solution"),
        {**VERDICTS, **DRAWS},
        chooses=False,
        about="a critique that compares the steps with the reference solution",
        paper="Rizvi et al., SPARE, arXiv 2506.15498",
        example="step-score steps.jsonl -m chat.gguf --judge align",
    ),
    "critic": JudgeProtocol(
        ("problem", "steps"),
        DRAWS,
        chooses=False,
        about="the number of the first wrong step",
        paper="Zheng et al., ProcessBench, arXiv 2412.06559, section 3.3",
        example="step-score steps.jsonl -m chat.gguf --judge critic -k 8",
    ),
    "thinkprm": JudgeProtocol(
        ("problem", "steps"),
        {**DRAWS, "max_tokens": 4096},
        about="a chain of thought that verifies the steps",
        paper="Khalifa et al., ThinkPRM, arXiv 2504.16828",
        example="step-score steps.jsonl -m chat.gguf --judge thinkprm",
    ),
    "genprm": JudgeProtocol(
        (),
        {**DRAWS, "temperature": 0.6, "top_k": 20, "top_p": 0.95},
        about="an analysis and a verdict step by step, in a conversation",
        paper="Zhao et al., GenPRM, arXiv 2504.00891",
        example="step-score steps.jsonl -m genprm.gguf --judge genprm",
    ),
    "pairs": JudgeProtocol(
        ("problem", "first", "second"),
        {"rounds": "all"},
        about="the attempts of each group compared two by two",
        example="step-score attempts.jsonl -m chat.gguf --judge pairs",
    ),
    "answer": JudgeProtocol(
        ("problem", "reference", "answer"),
        {"max_reason": 300, **DRAWS, "max_tokens": 512},
        chooses=False,
        about="a verdict on answers that step-split left undecided",
        paper="Chen et al., xVerify, arXiv 2504.10481",
        example="step-score graded.jsonl -m chat.gguf --judge answer",
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
    return stack(
        function,
        click.option(
            "--judge",
            metavar="HOW",
            type=click.Choice(list(PROTOCOLS)),
            help="With -m or --server, a chat model: ask it for verdicts, in a way below.",
        ),
        *(option() for option in OPTIONS.values()),
        group="Judges",
    )


def judge_topics() -> dict[str, HelpTopic]:
    """What --judge NAME --help shows, by name."""
    return {name: _topic(protocol) for name, protocol in PROTOCOLS.items()}


def _topic(protocol: JudgeProtocol) -> HelpTopic:
    defaults = {"judge_prompt": ""} | {key: str(value) for key, value in protocol.settings.items()}
    return HelpTopic(protocol.about, protocol.paper, protocol.example, defaults)


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
