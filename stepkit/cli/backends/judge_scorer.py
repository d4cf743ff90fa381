"""From the options of --judge to the chat model that judges, and its scorer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from stepkit.cli.options.judge import JudgeOptions
from stepkit.cli.options.prompt import PromptOptions
from stepkit.errors import UsageError
from stepkit.runner import options
from stepkit.runner.run import StreamOptions

if TYPE_CHECKING:
    from stepkit.cli.backends.scorers import ScoringSetup
    from stepkit.model.backend import Backend
    from stepkit.model.sampler import Sampler
    from stepkit.search.scorers import Scorer
    from stepkit.search.scorers.answer_judge import AnswerJudge
    from stepkit.search.scorers.answer_probabilities import AnswerProbabilities
    from stepkit.search.scorers.pairwise import PairwiseJudge


def backend_of(
    judge: JudgeOptions,
    policy: str | None,
    model: options.ModelOptions,
    server: options.ServerOptions,
    prompt: PromptOptions,
    streams: StreamOptions,
) -> Backend:
    """The chat model that judges, here or on servers.

    Args:
        policy: its GGUF file, or None.

    Raises UsageError for a model that cannot judge in this way.
    """
    from stepkit.model.backend import local_backend

    if judge.name == "genprm" and prompt.system is not None:
        raise UsageError("--system: GenPRM has a system message of its own; see --judge-prompt")
    if server.urls:
        from stepkit.model.server_backend import server_backend

        lists = judge.protocol.chooses
        backend = server_backend(server, policy, prompt.form(), streams.warn, lists=lists)
    else:
        assert policy is not None
        max_tokens = judge.settings.get("max_tokens", 0)
        draws = judge.protocol.draws
        backend = local_backend(
            policy, model, prompt.form(), max_tokens, draws=draws, note=streams.note
        )
    if judge.name == "genprm" and not backend.prefixes.prompter.takes_turns:
        raise UsageError("--judge genprm: it is asked in a conversation and needs a chat template")
    streams.note(backend.about)
    if backend.model is not None:
        streams.note(backend.model.weights_note)
    return backend


def step_judge(judge: JudgeOptions, backend: Backend) -> ScoringSetup:
    """The scorer of the steps of a trace that asks ``backend``."""
    from stepkit.cli.backends.scorers import ScoringSetup

    return ScoringSetup(_scorer(judge, backend), {"": backend.open}, backend.build)


def pairwise_judge(judge: JudgeOptions, backend: Backend) -> PairwiseJudge:
    """The judge of two attempts at a problem that asks ``backend``."""
    from stepkit.search.scorers.judge_prompt import JudgePrompt
    from stepkit.search.scorers.pairwise import ANSWERS, PairwiseJudge

    return PairwiseJudge(
        JudgePrompt(backend.prefixes, judge.prompt),
        _answers(backend, [(answer, f" {answer}") for answer in ANSWERS]),
        judge.settings["rounds"],
        _meta(judge, backend),
    )


def answer_judge(judge: JudgeOptions, backend: Backend) -> AnswerJudge:
    """The judge of an answer against the reference answer that asks ``backend``."""
    from stepkit.search.scorers.answer_judge import AnswerJudge
    from stepkit.search.scorers.judge_prompt import JudgePrompt

    return AnswerJudge(
        JudgePrompt(backend.prefixes, judge.prompt),
        _sampler(judge, backend),
        _meta(judge, backend),
        draws=judge.settings["draws"],
        longest=judge.settings["max_reason"],
        grammar=backend.model is not None,
    )


def _scorer(judge: JudgeOptions, backend: Backend) -> Scorer:
    from stepkit.search.scorers import critique, first_error_critic, forced_choice, genprm, thinkprm
    from stepkit.search.scorers.answer_probabilities import spellings
    from stepkit.search.scorers.judge_prompt import JudgePrompt
    from stepkit.text.critiques import CritiqueForm

    settings, meta = judge.settings, _meta(judge, backend)
    question = JudgePrompt(backend.prefixes, judge.prompt)
    if not judge.protocol.draws:
        words = [settings[key] for key in judge.words]
        answers = _answers(backend, [spellings(word) for word in words])
        return forced_choice.ForcedChoiceScorer(question, answers, judge.words, meta)
    sampler = partial(_sampler, judge, backend)
    draws = settings["draws"]
    if judge.name == "critic":
        return first_error_critic.FirstErrorCritic(question, sampler(), meta, draws)
    if judge.name == "thinkprm":
        answers = _answers(backend, [spellings(word) for word in thinkprm.ANSWERS])
        return thinkprm.ThinkPrmScorer(question, sampler(), answers, meta, draws)
    if judge.name == "genprm":
        answers = _answers(backend, [spellings(word) for word in genprm.ANSWERS])
        stopped = sampler(stop=(genprm.STOP,))
        return genprm.GenPrmScorer(judge.prompt, stopped, answers, meta, draws)
    return critique.CritiqueScorer(
        question,
        sampler(),
        CritiqueForm(**judge.words, longest=settings["max_reason"], matches=judge.name == "align"),
        meta,
        draws=draws,
        vote=settings["vote"],
        grammar=backend.model is not None,
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


def _sampler(judge: JudgeOptions, backend: Backend, stop: tuple[str, ...] = ()) -> Sampler:
    from stepkit.model.engine import Sampling
    from stepkit.model.sampler import Sampler

    names = ("temperature", "top_k", "top_p", "max_tokens")
    return Sampler(
        backend.prefixes,
        Sampling(**{name: judge.settings[name] for name in names}, stop=stop),
        model=backend.identity,
        context=backend.context,
        seed=judge.settings["seed"],
        exact=backend.exact,
        rope=backend.rope,
    )


def _meta(judge: JudgeOptions, backend: Backend) -> dict[str, Any]:
    """The judge and its settings, for the record and for a resume to agree on.

    Without the number of draws: it shows in the counts, and a resume may ask for more.
    """
    from stepkit.cli.backends.scorers import backend_meta
    from stepkit.seeds import digest

    settings = {key: value for key, value in judge.settings.items() if key != "draws"}
    named = {"judge": judge.name, "judge_prompt": digest("prompt", judge.prompt)}
    return backend_meta(backend, named | settings)
