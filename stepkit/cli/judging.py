"""A chat model as judge of steps: which ways of asking there are, and what each is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from stepkit import options
from stepkit.errors import UsageError
from stepkit.run import Streams

if TYPE_CHECKING:
    from stepkit.cli.scorers import Scoring
    from stepkit.jsonl import Record
    from stepkit.model.engine import Engine
    from stepkit.model.opening import Backend
    from stepkit.search.scheduler import Strategy
    from stepkit.search.scorers import Scorer
    from stepkit.search.scorers.answers import Answers
    from stepkit.search.scorers.pairwise import Pairwise

Settings = Mapping[str, Any]

DRAWS = {"draws": 1, "temperature": 0.7, "top_k": 0, "top_p": 1.0, "max_tokens": 2048, "seed": 1}


@dataclass(frozen=True)
class How:
    """A way of asking a judge.

    Attributes:
        help: what it does, in some words.
        prompt: its prompt, a file of stepkit/text/prompts.
        places: what the prompt must have places for.
        settings: the options that it uses, with its defaults.
        chooses: its probabilities of a few answers are read.
    """

    help: str
    prompt: str
    places: tuple[str, ...]
    settings: Settings = field(default_factory=dict)
    chooses: bool = True

    @property
    def draws(self) -> bool:
        """Whether it writes something."""
        return "draws" in self.settings


_VERDICTS = {"good": "correct", "bad": "wrong", "vote": "mean", "max_reason": 300}

HOWS: Mapping[str, How] = {
    "choice": How(
        "choose between two words behind every step",
        "choice",
        ("problem", "step"),
        {"good": "Yes", "bad": "No"},
    ),
    "ternary": How(
        "choose between three words (agents)",
        "ternary",
        ("problem", "step"),
        {"good": "Good", "neutral": "Neutral", "bad": "Bad"},
    ),
    "critique": How(
        "write a reason and a verdict for every step, in one pass",
        "critique",
        ("problem", "steps"),
        {**_VERDICTS, **DRAWS},
        chooses=False,
    ),
    "align": How(
        "the same, each step matched with the reference solution",
        "align",
        ("problem", "steps", "solution"),
        {**_VERDICTS, **DRAWS},
        chooses=False,
    ),
    "critic": How(
        "name the first wrong step (ProcessBench)",
        "critic",
        ("problem", "steps"),
        DRAWS,
        chooses=False,
    ),
    "thinkprm": How(
        "ThinkPRM's own protocol",
        "thinkprm",
        ("problem", "steps"),
        {**DRAWS, "max_tokens": 4096},
    ),
    "genprm": How(
        "GenPRM's own protocol, without running code",
        "genprm",
        (),
        {**DRAWS, "temperature": 0.6, "top_k": 20, "top_p": 0.95},
    ),
    "pairs": How(
        "compare the attempts of a group, two at a time",
        "pairs",
        ("problem", "first", "second"),
        {"rounds": "all"},
    ),
}

OPTIONS = {
    "judge_prompt": "--judge-prompt",
    "good": "--good",
    "neutral": "--neutral",
    "bad": "--bad",
    "draws": "-k",
    "vote": "--vote",
    "max_reason": "--max-reason",
    "rounds": "--rounds",
    "temperature": "--temperature",
    "top_k": "--top-k",
    "top_p": "--top-p",
    "max_tokens": "--max-tokens",
    "seed": "--seed",
}


KINDS = ("all", "knockout", "elimination")


class Rounds(click.ParamType):
    """``all``, ``knockout``, ``elimination`` or a number of rounds."""

    name = "rounds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value in KINDS or (str(value).isdecimal() and int(value) > 0):
            return str(value)
        self.fail(f"expected {', '.join(KINDS)} or a number, got {value!r}", param, ctx)


def of_judging(function: options.F) -> options.F:
    """--judge and what goes with it."""
    ways = ", ".join(HOWS)
    return options.stack(
        function,
        click.option(
            "--judge",
            metavar="HOW",
            type=click.Choice(list(HOWS)),
            help=f"With -m or --server, a chat model: ask it for verdicts ({ways}).",
        ),
        click.option(
            "--judge-prompt",
            metavar="FILE",
            type=click.File(encoding="utf-8"),
            help="The judge's prompt, instead of the one that comes with stepkit.",
        ),
        click.option("--good", metavar="WORD", help="The judge's word for a good step."),
        click.option("--neutral", metavar="WORD", help="Its word for a step neither good nor bad."),
        click.option("--bad", metavar="WORD", help="Its word for a bad step."),
        click.option(
            "-k",
            "--draws",
            metavar="N",
            type=click.IntRange(min=1),
            help="Critiques, or chains of thought, for each trace (default: 1).",
        ),
        click.option(
            "--vote",
            type=click.Choice(["mean", "majority", "intersection"]),
            help="A step's score: the share of the critiques (default), what most say, or 0 only "
            "where all agree.",
        ),
        click.option(
            "--max-reason",
            metavar="N",
            type=click.IntRange(1, 2000),
            help="Most characters of a step's reason (default: 300).",
        ),
        click.option(
            "--rounds",
            metavar="N",
            type=Rounds(),
            help="Pairs to compare: all (default), knockout, elimination, or N rounds.",
        ),
        click.option(
            "-T",
            "--temperature",
            metavar="X",
            type=click.FloatRange(0, 100),
            help="Sampling temperature of what a judge writes (default: 0.7; genprm 0.6).",
        ),
        click.option(
            "--top-k",
            metavar="N",
            type=click.IntRange(min=0),
            help="Sample among the N most probable tokens (default: all; genprm 20).",
        ),
        click.option(
            "--top-p",
            metavar="P",
            type=click.FloatRange(0, 1, min_open=True),
            help="Sample among the tokens that make up P (default: 1; genprm 0.95).",
        ),
        click.option(
            "--max-tokens",
            metavar="N",
            type=click.IntRange(min=1),
            help="Most tokens that a judge writes at a time (default: 2048; thinkprm 4096).",
        ),
        click.option("--seed", metavar="N", type=int, help="Seed of the whole run (default: 1)."),
    )


@dataclass(frozen=True)
class Judging:
    """What the options say: how a judge is asked, with which prompt and settings."""

    name: str
    how: How
    form: str
    settings: Settings

    @property
    def words(self) -> dict[str, str]:
        """The words of the answers, best first, as a prompt names them."""
        given = {
            key: self.settings[key] for key in ("good", "neutral", "bad") if key in self.settings
        }
        return {key: word.split(",")[0].strip() for key, word in given.items()}


def chosen(given: dict[str, Any]) -> Judging | None:
    """Take the options of this module out of ``given``; None without --judge.

    Raises UsageError for an option without effect, and a prompt that lacks a place.
    """
    name = given.pop("judge")
    said = {key: given.pop(key) for key in OPTIONS}
    said = {key: value for key, value in said.items() if value is not None}
    if name is None:
        for key in said:
            raise UsageError(f"{OPTIONS[key]} goes with --judge")
        return None
    how = HOWS[name]
    file = said.pop("judge_prompt", None)
    for key in said:
        if key not in how.settings:
            users = ", ".join(one for one, other in HOWS.items() if key in other.settings)
            raise UsageError(f"{OPTIONS[key]} has no effect with --judge {name}: it is for {users}")
    for key in ("good", "neutral", "bad"):
        if not said.get(key, "word").strip(" ,"):
            raise UsageError(f"{OPTIONS[key]}: expected a word")
    form = _shipped(how.prompt) if file is None else _read(file)
    from stepkit.text.forms import check

    check(form, how.places, "--judge-prompt")
    return Judging(name, how, form, {**how.settings, **said})


def _shipped(name: str) -> str:
    from importlib.resources import files

    return (files("stepkit.text") / "prompts" / f"{name}.txt").read_text("utf-8").strip()


def _read(file: Any) -> str:
    try:
        return str(file.read()).strip()
    except UnicodeDecodeError:
        raise UsageError(f"--judge-prompt {file.name}: not UTF-8") from None


def backend_of(
    judging: Judging,
    policy: str | None,
    model: options.ModelOptions,
    server: options.ServerOptions,
    form: dict[str, str | None],
    streams: Streams,
) -> Backend:
    """The chat model that is asked, here or on servers. Raises UsageError for one that cannot."""
    from stepkit.model.opening import Form, local_backend

    if judging.name == "genprm" and form["system"] is not None:
        raise UsageError("--system: GenPRM has a system message of its own; see --judge-prompt")
    if server.urls:
        from stepkit.model.serving import server_backend

        lists = judging.how.chooses
        backend = server_backend(server, policy, Form(**form), streams.warn, lists=lists)
    else:
        assert policy is not None
        most = judging.settings.get("max_tokens", 0)
        backend = local_backend(policy, model, Form(**form), most, draws=judging.how.draws)
    if judging.name == "genprm" and not backend.prefixes.prompter.takes_turns:
        raise UsageError("--judge genprm: it is asked in a conversation and needs a chat template")
    streams.note(backend.about)
    return backend


def judge(judging: Judging, backend: Backend) -> Scoring:
    """The scorer of the steps of a trace that asks ``backend``."""
    from stepkit.cli.scorers import Scoring

    return Scoring(_scorer(judging, backend), backend.open, backend.build)


def compare(
    judging: Judging,
    backend: Backend,
    streams: Streams,
    name: str,
    opened: Callable[[Backend, dict[str, Any]], Engine],
) -> None:
    """Write into the records of each group which of each two is better.

    Args:
        name: of the entries that it writes.
        opened: opens the engine, given what decides its answers.
    """
    from stepkit.cli.groups import GroupWork, run_groups
    from stepkit.search.scorers.asking import Question
    from stepkit.search.scorers.pairwise import ANSWERS, Pairwise

    if streams.limit is not None:
        raise UsageError("--limit cuts a group short: not with --judge pairs")
    judge = Pairwise(
        Question(backend.prefixes, judging.form),
        _answers(backend, [(answer,) for answer in ANSWERS]),
        judging.settings["rounds"],
        _meta(judging, backend),
    )

    def strategy(records: list[Record]) -> Strategy:
        return judge.compare([record.data for record in records])

    def write(records: list[Record], verdicts: list[list[dict[str, Any]]]) -> None:
        for record, own in zip(records, verdicts, strict=True):
            _with_verdicts(record, name, judge, own)

    deciding = {**judge.meta, **backend.build}
    work = GroupWork(streams, partial(opened, backend, deciding), strategy, write)
    run_groups(work, {"scorer": name, **deciding})


def _with_verdicts(
    record: Record, name: str, judge: Pairwise, verdicts: list[dict[str, Any]]
) -> None:
    from stepkit import schema

    record.merge("verdicts", {name: verdicts})
    known = [verdict["p"] for verdict in verdicts]
    entry: dict[str, Any] = {
        "of": "raw",
        "by": "scorer",
        "x": [None] * len(schema.steps(record.data)),
    }
    entry["n"] = len(known)
    if known:
        entry["total"] = sum(known) / len(known)
    record.merge("scores", {name: {**entry, "meta": judge.meta}})
    record.set(schema.VERSION_KEY, schema.VERSION)


def _scorer(judging: Judging, backend: Backend) -> Scorer:
    from stepkit.search.scorers import (
        critique,
        first_error,
        forced_choice,
        genprm,
        thinkprm,
    )
    from stepkit.search.scorers.answers import spellings
    from stepkit.search.scorers.asking import Question
    from stepkit.text.critiques import Shape

    settings, meta = judging.settings, _meta(judging, backend)
    question = Question(backend.prefixes, judging.form)
    if not judging.how.draws:
        words = [settings[key] for key in judging.words]
        answers = _answers(backend, [spellings(word) for word in words])
        return forced_choice.ForcedChoice(question, answers, judging.words, meta)
    sampler = partial(_sampler, judging, backend)
    draws = settings["draws"]
    if judging.name == "critic":
        return first_error.FirstError(question, sampler(), meta, draws)
    if judging.name == "thinkprm":
        answers = _answers(backend, [spellings(word) for word in thinkprm.ANSWERS])
        return thinkprm.ThinkPrm(question, sampler(), answers, meta, draws)
    if judging.name == "genprm":
        answers = _answers(backend, [spellings(word) for word in genprm.ANSWERS])
        drawing = sampler(stop=(genprm.STOP,))
        return genprm.GenPrm(judging.form, drawing, answers, meta, draws)
    return critique.Critiques(
        question,
        sampler(),
        Shape(**judging.words, longest=settings["max_reason"], matches=judging.name == "align"),
        meta,
        draws=draws,
        vote=settings["vote"],
        held=backend.model is not None,
    )


def _answers(backend: Backend, answers: list[tuple[str, ...]]) -> Answers:
    from stepkit.model.completions import OTHER
    from stepkit.search.scorers.answers import FEW, LISTED, LocalAnswers, ServedAnswers

    if backend.model is not None:
        return LocalAnswers(backend.prefixes, answers, "--judge")
    return ServedAnswers(answers, FEW if backend.identity.server == OTHER else LISTED)


def _sampler(judging: Judging, backend: Backend, stop: tuple[str, ...] = ()) -> Any:
    from stepkit.model.engine import Sampling
    from stepkit.model.sampler import Sampler

    chosen = {key: judging.settings[key] for key in ("temperature", "top_k", "top_p", "max_tokens")}
    return Sampler(
        backend.prefixes,
        Sampling(**chosen, stop=stop),
        model=backend.identity,
        context=backend.context,
        seed=judging.settings["seed"],
        exact=backend.exact,
    )


def _meta(judging: Judging, backend: Backend) -> dict[str, Any]:
    """What the judge is and how it was asked, for the record and for a resume to agree on."""
    from stepkit.seeds import digest

    identity, prompter = backend.identity, backend.prefixes.prompter
    return {
        "model": identity.model,
        "name": identity.name,
        **({"server": identity.server} if identity.server else {}),
        "prompt": prompter.identity,
        "system": prompter.system,
        "judge": judging.name,
        "judge_prompt": digest("prompt", judging.form),
        # how many draws there are is told by counts, and a resume may ask for more
        **{key: value for key, value in judging.settings.items() if key != "draws"},
        **({} if backend.exact else {"layout": "fast"}),
    }
