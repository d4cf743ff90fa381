"""step-score: traces -> one score per step, by a verifier, a model, a judge or a checker."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from stepkit.cli.backends.fetch_models import fetch_missing
from stepkit.cli.options import checkers, confidence, judge, prm
from stepkit.cli.options.confidence import ConfidenceOptions
from stepkit.cli.options.judge import JudgeOptions
from stepkit.cli.options.prompt import PromptOptions, parse_prompt_options, prompt_options
from stepkit.cli.options.shared import KEEP_TOKENS
from stepkit.errors import UsageError
from stepkit.runner import options, run

COMMON = (
    *("gguf", "policy", "urls", "profile", "explained", "by", "judge", "draws", "check", "command"),
    *("name", "resume", "limit", "output", "quiet", "verbose"),
)
"""The parameters that --help shows, in this order."""


@options.command("step-score", own="Scores", common=COMMON, topics={"--judge": judge.judge_topics})
@options.model_options(
    "--prm",
    required=False,
    help="A process reward model, a GGUF file or a name as in hf:OWNER/REPO.",
)
@options.model_file(
    "-m", "--model", "policy", help="Any model: score by how sure it is of the steps."
)
@options.server_options
@prm.prm_options
@prm.explain_options
@confidence.confidence_options
@judge.judge_options
@checkers.checker_options
@click.option(
    "--name",
    metavar="NAME",
    help='Name of the scores (default: "prm", that of the measure, of the judge or of the check).',
)
@prompt_options(
    prompt="What stands before the steps, with {problem} in it (\\n breaks lines).",
    system="-m or --server with a chat template",
)
@KEEP_TOKENS(help="With -m: keep the log-probability of every token.")
@click.option(
    "--cache",
    metavar="DIR",
    type=click.Path(),
    help="Keep scores in DIR, and take them from there.",
)
@options.journal_options
@options.input_options
@options.output_options
def main(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    policy: str | None,
    server: options.ServerOptions,
    name: str | None,
    keep_tokens: bool,
    cache: str | None,
    explained: bool,
    **given: Any,
) -> None:
    """Score every step of a trace: by a model, in one pass, or by a checker.

    \b
    step-split traces.jsonl | step-score --prm prm.gguf | step-rerank
    step-split traces.jsonl | step-score -m policy.gguf --by self-certainty
    step-split traces.jsonl | step-score -m chat.gguf --judge choice
    step-split traces.jsonl | step-score --check arithmetic

    With --prm, a step's score is the output of a process reward model; its profile (its
    own, or found by its name and tokens, or given by options) says how it is read. With
    -m or --server, it is the mean log-probability that the model gives to the step's
    tokens, or the measure of --by; with --judge, the model's answer to a question
    about the steps, or, with --judge answer, no score but a verdict on an answer that
    step-split left undecided. With --check or --command, it is 1 for a right step and 0
    for a wrong one.
    """
    reward_model = prm.parse_prm_options(given)
    judging = judge.parse_judge_options(given)
    checker = checkers.parse_checker_options(given)
    measure = confidence.parse_confidence_options(given)
    prompt = parse_prompt_options(given)
    if checker is not None:
        from stepkit.cli.actions.run_checker import run_checker

        run_checker(checker, streams, name)
        return
    if measure.model_free:
        from stepkit.cli.actions.score_confidence import score_stored_confidence

        score_stored_confidence(measure, streams, name)
        return
    with_language_model = policy is not None or bool(server.urls)
    if (model.model is not None) == with_language_model:
        raise UsageError(
            "give either --prm FILE, or -m FILE or --server URL; or --check, --command, --kept or "
            "--by consistency, which need no model"
        )
    if with_language_model:
        reward_model.refuse_without_prm()
        if explained:
            raise UsageError("--explain describes a PRM: it goes with --prm")
        if judging is not None and measure.given:
            raise UsageError("--by and --judge exclude each other")
        if keep_tokens and (policy is None or server.urls or judging is not None):
            raise UsageError("--keep-tokens goes with -m, and not with --judge")
    else:
        _refuse_with_prm(prompt, judging, measure, keep_tokens)
    reference = reward_model.extra.reference
    fetch_missing(streams, {"--prm": model.model, "--model": policy, "--reference": reference})
    if explained:
        from stepkit.cli.actions.explain_profile import explain

        fields = {**reward_model.fields, "prompt": prompt.prompt}
        explain(streams, model, fields, reward_model.profile, reward_model.extra.profile)
        return
    from stepkit.cli.actions.rehearsal import check_scored
    from stepkit.cli.actions.score_with_model import open_engine, score_with_model
    from stepkit.cli.backends import judge_scorer, scorers
    from stepkit.runner.first_record import check_first

    check_first(streams, partial(check_scored, judging.name if judging else ""))
    engine_of = partial(open_engine, cache, streams.warn)
    if judging is not None:
        key = name or judging.name
        backend = judge_scorer.backend_of(judging, policy, model, server, prompt, streams)
        if judging.name == "pairs":
            from stepkit.cli.actions.compare_attempts import compare_attempts

            pairwise = judge_scorer.pairwise_judge(judging, backend)
            compare_attempts(pairwise, backend, streams, key, engine_of)
            return
        if judging.name == "answer":
            from stepkit.cli.actions.judge_answers import judge_answers

            of_answers = judge_scorer.answer_judge(judging, backend)
            judge_answers(of_answers, backend, streams, key, engine_of)
            return
        setup = judge_scorer.step_judge(judging, backend)
    elif with_language_model:
        key = name or measure.by
        setup = scorers.likelihood(policy, model, server, prompt, streams, keep_tokens, measure)
    else:
        key = name or "prm"
        setup = scorers.verifier(model, reward_model, streams, prompt.prompt)
    score_with_model(streams, setup, key, cache)


def _refuse_with_prm(
    prompt: PromptOptions,
    judging: JudgeOptions | None,
    measure: ConfidenceOptions,
    keep_tokens: bool,
) -> None:
    """Refuse the options that have no effect with a PRM. Raises UsageError."""
    given = {
        "--judge": judging is not None,
        "--by": measure.given,
        "--keep-tokens": keep_tokens,
        "--system": prompt.system is not None,
        "--template": prompt.template is not None,
    }
    for option, is_given in given.items():
        if is_given:
            raise UsageError(f"{option} goes with -m or --server")
