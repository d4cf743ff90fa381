"""From what cli/options/judge.py gathers to a scorer, or to comparisons within groups."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from stepkit.cli.actions.record_fields import stamped
from stepkit.cli.options.judge import JudgeOptions
from stepkit.errors import UsageError
from stepkit.runner import options
from stepkit.runner.run import StreamOptions

if TYPE_CHECKING:
    from stepkit.cli.backends.scorers import ScoringSetup
    from stepkit.io.jsonl import Record
    from stepkit.model.backend import Backend
    from stepkit.model.engine import Engine
    from stepkit.model.sampler import Sampler
    from stepkit.search.scheduler import Strategy
    from stepkit.search.scorers import Scorer
    from stepkit.search.scorers.answer_probabilities import AnswerProbabilities
    from stepkit.search.scorers.pairwise import PairwiseJudge


def backend_of(
    judging: JudgeOptions,
    policy: str | None,
    model: options.ModelOptions,
    server: options.ServerOptions,
    form: dict[str, str | None],
    streams: StreamOptions,
) -> Backend:
    """The chat model that is asked, here or on servers. Raises UsageError for one that cannot."""
    from stepkit.model.backend import PromptForm, local_backend

    if judging.name == "genprm" and form["system"] is not None:
        raise UsageError("--system: GenPRM has a system message of its own; see --judge-prompt")
    if server.urls:
        from stepkit.model.server_backend import server_backend

        lists = judging.how.chooses
        backend = server_backend(server, policy, PromptForm(**form), streams.warn, lists=lists)
    else:
        assert policy is not None
        most = judging.settings.get("max_tokens", 0)
        backend = local_backend(policy, model, PromptForm(**form), most, draws=judging.how.draws)
    if judging.name == "genprm" and not backend.prefixes.prompter.takes_turns:
        raise UsageError("--judge genprm: it is asked in a conversation and needs a chat template")
    streams.note(backend.about)
    return backend


def judge(judging: JudgeOptions, backend: Backend) -> ScoringSetup:
    """The scorer of the steps of a trace that asks ``backend``."""
    from stepkit.cli.backends.scorers import ScoringSetup

    return ScoringSetup(_scorer(judging, backend), {"": backend.open}, backend.build)


def compare(
    judging: JudgeOptions,
    backend: Backend,
    streams: StreamOptions,
    name: str,
    opened: Callable[[Backend, dict[str, Any]], Engine],
) -> None:
    """Write into the records of each group which of each two is better.

    Args:
        name: of the entries that it writes.
        opened: opens the engine, given what decides its answers.
    """
    from stepkit.cli.actions.group_session import GroupWork, run_groups
    from stepkit.search.scorers.judge_prompt import JudgePrompt
    from stepkit.search.scorers.pairwise import ANSWERS, PairwiseJudge

    if streams.limit is not None:
        raise UsageError("--limit cuts a group short: not with --judge pairs")
    judge = PairwiseJudge(
        JudgePrompt(backend.prefixes, judging.form),
        _answers(backend, [(answer, f" {answer}") for answer in ANSWERS]),
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
    record: Record, name: str, judge: PairwiseJudge, verdicts: list[dict[str, Any]]
) -> None:
    from stepkit import schema

    record.merge("verdicts", {name: verdicts})
    known = [verdict["p"] for verdict in verdicts]
    nothing = [None] * len(schema.steps(record.data))
    entry: dict[str, Any] = {"of": "raw", "by": "scorer", "x": nothing, "n": len(known)}
    if known:
        entry["total"] = sum(known) / len(known)
    record.merge("scores", {name: {**entry, "meta": judge.meta}})
    stamped(record)


def _scorer(judging: JudgeOptions, backend: Backend) -> Scorer:
    from stepkit.search.scorers import critique, first_error_critic, forced_choice, genprm, thinkprm
    from stepkit.search.scorers.answer_probabilities import spellings
    from stepkit.search.scorers.judge_prompt import JudgePrompt
    from stepkit.text.critiques import CritiqueForm

    settings, meta = judging.settings, _meta(judging, backend)
    question = JudgePrompt(backend.prefixes, judging.form)
    if not judging.how.draws:
        words = [settings[key] for key in judging.words]
        answers = _answers(backend, [spellings(word) for word in words])
        return forced_choice.ForcedChoiceScorer(question, answers, judging.words, meta)
    sampler = partial(_sampler, judging, backend)
    draws = settings["draws"]
    if judging.name == "critic":
        return first_error_critic.FirstErrorCritic(question, sampler(), meta, draws)
    if judging.name == "thinkprm":
        answers = _answers(backend, [spellings(word) for word in thinkprm.ANSWERS])
        return thinkprm.ThinkPrmScorer(question, sampler(), answers, meta, draws)
    if judging.name == "genprm":
        answers = _answers(backend, [spellings(word) for word in genprm.ANSWERS])
        drawing = sampler(stop=(genprm.STOP,))
        return genprm.GenPrmScorer(judging.form, drawing, answers, meta, draws)
    return critique.CritiqueScorer(
        question,
        sampler(),
        CritiqueForm(
            **judging.words, longest=settings["max_reason"], matches=judging.name == "align"
        ),
        meta,
        draws=draws,
        vote=settings["vote"],
        held=backend.model is not None,
    )


def _answers(backend: Backend, answers: list[tuple[str, ...]]) -> AnswerProbabilities:
    from stepkit.model.servers.completions import OTHER
    from stepkit.search.scorers.answer_probabilities import (
        FEW,
        LISTED,
        LocalAnswerProbabilities,
        ServedAnswerProbabilities,
    )

    if backend.model is not None:
        return LocalAnswerProbabilities(backend.prefixes, answers, "--judge")
    return ServedAnswerProbabilities(answers, FEW if backend.identity.server == OTHER else LISTED)


def _sampler(judging: JudgeOptions, backend: Backend, stop: tuple[str, ...] = ()) -> Sampler:
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


def _meta(judging: JudgeOptions, backend: Backend) -> dict[str, Any]:
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
