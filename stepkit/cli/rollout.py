"""step-rollout: traces or bare problems -> evidence, drawn from a language model."""

from __future__ import annotations

from typing import Any

import click

from stepkit.cli.backends import draw_source
from stepkit.cli.options import prm
from stepkit.cli.options.answer_reading import answer_options, parse_answer_options
from stepkit.cli.options.batch_files import BatchOptions, batch_options, parse_batch_options
from stepkit.cli.options.methods import method_options, method_topics, parse_method_options
from stepkit.cli.options.prompt import parse_prompt_options, prompt_options
from stepkit.cli.options.sampling import check, refuse_local_sampling, sampling_options
from stepkit.cli.options.shared import KEEP_CONFIDENCE, KEEP_TOKENS, SEED, listing
from stepkit.errors import UsageError
from stepkit.runner import options, run
from stepkit.search.method_registry import METHODS
from stepkit.search.refinement_prompts import refinement_of


def _models() -> str:
    """The table of the models on this machine."""
    from stepkit.stores.model_list import table

    return table()


COMMON = (
    *("gguf", "method", "draws", "seed", "temperature", "max_tokens", "urls"),
    *("dry_run", "resume", "limit", "output", "quiet", "verbose"),
)
"""The parameters that --help shows, in this order."""


@options.command(
    "step-rollout", own="What to draw", common=COMMON, topics={"--method": method_topics}
)
@options.model_options(
    "-m",
    "--model",
    required=False,
    help="The policy that draws, a GGUF file or a name (see --list-models).",
)
@listing(
    "--list-models",
    _models,
    help="List the models on this machine, by the names that -m takes, and exit.",
)
@options.server_options
@method_options
@prm.prm_options
@SEED()
@sampling_options
@prompt_options(
    prompt="Raw prompt with {problem} in it, instead of the model's chat template.",
    system="a model with a chat template",
)
@batch_options
@click.option(
    "--emit",
    type=click.Choice(["tree", "traces"]),
    help="Write each record with its tree (default), or a trace for each attempt in the tree.",
)
@KEEP_TOKENS()
@KEEP_CONFIDENCE()
@click.option(
    "--regrade",
    is_flag=True,
    help="Draw nothing: judge the answers of all draws in the input again.",
)
@click.option("--dry-run", is_flag=True, help="Print the draws and tokens it would take, as JSON.")
@options.jobs_option
@answer_options
@options.journal_options
@options.input_options
@options.output_options
def main(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    server: options.ServerOptions,
    method: str | None,
    seed: int,
    emit: str | None,
    keep_tokens: bool,
    keep_confidence: bool,
    regrade: bool,
    dry_run: bool,
    jobs: int,
    **given: Any,
) -> None:
    """Draw from a model and keep every draw as evidence.

    \b
    step-split traces.jsonl | step-rollout -m policy.gguf -k 8 -o evidence.jsonl
    step-rollout problems.jsonl -m policy.gguf --method sample -k 16 | step-split

    chain (the default) draws K rollouts from every prefix of each trace and keeps
    them in its tree; sample draws K whole attempts at each problem and writes one
    trace for each. Every draw has its answer extracted and graded: right, wrong or
    undecided (cut off, no answer, grader gave up).
    """
    answers = parse_answer_options(given)
    if regrade:
        from stepkit.cli.actions.run_regrade import regrade as grade_again

        grade_again(streams, jobs, answers)
        return
    prompt, batch = parse_prompt_options(given), parse_batch_options(given)
    name, settings = parse_method_options(method, given)
    reward_model = prm.parse_prm_options(given)
    if settings.get("prm") is None:
        reward_model.refuse_without_prm()
    check(given)
    refinement = refinement_of(settings)
    if emit and METHODS[name].writes == "attempts":
        raise UsageError(f"--emit has no effect with --method {name}: it writes traces")
    if dry_run:
        _check_dry_run(streams, settings, batch)
    if given["stop_at_answer"] and (answers.pattern or answers.rule):
        option = "--answer-pattern" if answers.pattern else f"--answer {answers.rule}"
        raise UsageError(f"--stop-at-answer: by {option} any further text may be the answer")
    draw_source.check(streams, model, server, batch)
    if settings.get("budget") is not None and batch.given:
        raise UsageError("--budget is spent draw by draw: not with batch files")
    if settings.get("prm") is not None and batch.given:
        raise UsageError("--prm judges draw by draw: not with batch files")
    if keep_confidence and METHODS[name].writes != "attempts":
        raise UsageError(f"--keep-confidence has no effect with --method {name}")
    if keep_confidence and (server.urls or batch.given):
        raise UsageError("--keep-confidence: a server gives log-probabilities only (--keep-tokens)")
    if server.urls or batch.given:
        refuse_local_sampling(given)
    from stepkit.cli.actions.draw import draw
    from stepkit.cli.actions.draw_plan import DrawPlan

    plan = DrawPlan(
        method=name,
        settings=settings,
        sampling=given,
        seed=seed,
        prompt=prompt,
        refinement=refinement,
        prm=reward_model,
        emit_traces=emit == "traces",
        keep_tokens=keep_tokens or keep_confidence,
        keep_confidence=keep_confidence,
        jobs=jobs,
        answers=answers,
    )
    draw(streams, model, server, batch, plan, dry_run)


def _check_dry_run(
    streams: run.StreamOptions, settings: dict[str, Any], batch: BatchOptions
) -> None:
    """Refuse the options that have no effect with --dry-run. Raises UsageError."""
    if settings.get("budget"):
        raise UsageError("--dry-run with --budget: the budget itself says what will be drawn")
    if streams.output != run.STANDARD or streams.journal or streams.resume:
        raise UsageError("--dry-run writes no records: leave out -o, --journal and --resume")
    if batch.given:
        raise UsageError("--dry-run makes no draws: leave out --to-batch and --from-batch")
