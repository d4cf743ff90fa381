"""step-score: traces -> one score per step, read from a process reward model or from any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stepkit import options, run
from stepkit.cli.escapes import TEXT
from stepkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from stepkit.jsonl import Record
    from stepkit.search.scheduler import Strategy

PROFILE = ("marker", "positive", "negative", "step")
"""Options that describe a PRM; without --prm they have no effect and are refused."""


@options.command("step-score")
@options.uses_model("--prm", required=False, help="A process reward model, a GGUF file.")
@options.model_file(
    "-m", "--model", "policy", help="Any model: score by its own mean log-probability."
)
@click.option(
    "--name", metavar="NAME", help='Name of the scores (default: "prm", or "logprob" with -m).'
)
@click.option("--marker", metavar="TOKEN", help="The token behind every step (text or id).")
@click.option("--positive", metavar="TOKEN", help="The token that says a step is good.")
@click.option("--negative", metavar="TOKEN", help="The token that says a step is bad.")
@click.option(
    "--step", metavar="FORMAT", type=TEXT, help="How a step is laid out, with {step} in it."
)
@click.option(
    "--prompt",
    metavar="FORMAT",
    type=TEXT,
    help="What stands before the steps, with {problem} in it (\\n breaks lines).",
)
@click.option(
    "--system",
    metavar="TEXT",
    type=TEXT,
    help="System message, for -m with a chat template.",
)
@click.option(
    "--keep-tokens", is_flag=True, help="With -m: keep the log-probability of every token."
)
@options.journalled
@options.reads
@options.writes
def main(
    streams: run.Streams,
    model: options.ModelOptions,
    policy: str | None,
    name: str | None,
    prompt: str | None,
    system: str | None,
    keep_tokens: bool,
    **profile: str | None,
) -> None:
    """Score every step of a trace in one pass.

    \b
    step-split traces.jsonl | step-score --prm prm.gguf | step-rerank
    step-split traces.jsonl | step-score -m policy.gguf --name logprob

    With --prm, a step's score is the probability of the positive token against the
    negative one at the marker behind the step. How to lay a trace out is read from
    the PRM file's own profile, or from the options. With -m, it is the mean
    log-probability that the model gives to the step's tokens.
    """
    if (model.model is None) == (policy is None):
        raise UsageError("give either --prm FILE or -m FILE")
    if policy is not None and (given := [key for key in PROFILE if profile[key] is not None]):
        raise UsageError(f"--{given[0]} describes a PRM: it goes with --prm")
    if policy is None and system is not None:
        raise UsageError("--system goes with -m")
    if policy is None and keep_tokens:
        raise UsageError("--keep-tokens goes with -m")
    from stepkit.cli.session import Work, run_strategies
    from stepkit.model.llama import Model, model_name
    from stepkit.model.opening import describe, layout_for

    path = policy or model.model
    assert path is not None
    loaded = Model(path, gpu_layers=model.gpu_layers, option="--model" if policy else "--prm")
    layout = layout_for(loaded, model, 0)
    streams.note(describe(layout))
    if policy is not None:
        strategy, about = _likelihood(loaded, prompt, system, keep_tokens)
    else:
        strategy, about = _token_logit(loaded, {**profile, "prompt": prompt})
    about["meta"] = {"model": loaded.fingerprint, "name": model_name(path), **about["meta"]}
    key = name or ("logprob" if policy else "prm")

    def write(record: Record, result: Any) -> list[Record]:
        return [_scored(record, key, about, result)]

    work = Work(streams, loaded, layout, strategy, write)
    run_strategies(work, {"scorer": key, **about["meta"], **loaded.build})


def _token_logit(model: Any, given: dict[str, str | None]) -> tuple[Any, dict[str, Any]]:
    from dataclasses import asdict

    from stepkit import schema
    from stepkit.model.profiles import Reader, profile_of
    from stepkit.search.score import token_logit

    profile = profile_of(model, given)
    reader = Reader(model, profile)

    def strategy(record: Record) -> Strategy:
        steps = _steps(record)
        x, total = yield from token_logit(reader, schema.problem_text(record.data), steps)
        return x, total, {}

    return strategy, {"of": profile.of, "by": "scorer", "meta": {"profile": asdict(profile)}}


def _likelihood(
    model: Any, form: str | None, system: str | None, keep_tokens: bool
) -> tuple[Any, dict[str, Any]]:
    from stepkit.core.tokens import LOGPROBS, SIZES
    from stepkit.model.opening import prompter_for
    from stepkit.model.prefixes import Prefixes
    from stepkit.search.score import likelihood

    prefixes = Prefixes(model, prompter_for(model, form, system))

    def strategy(record: Record) -> Strategy:
        steps = _steps(record)
        prompt, response = prefixes.prompt(record.data), prefixes.response(record.data)
        (x, total), tokens = yield from likelihood(prefixes, prompt, response, steps)
        kept = {SIZES: tokens.size, LOGPROBS: tokens.logprob} if keep_tokens else {}
        return x, total, kept

    meta = {"prompt": prefixes.prompter.identity, "system": system, "unit": "nats per token"}
    return strategy, {"of": "confidence", "by": "scorer", "meta": meta}


def _steps(record: Record) -> list[str]:
    from stepkit import schema

    steps = schema.steps(record.data)
    if not steps:
        raise DataError("no steps to score", "response")
    return steps


def _scored(record: Record, key: str, about: dict[str, Any], result: Any) -> Record:
    from stepkit import schema

    steps, total, tokens = result
    scores = {"of": about["of"], "by": about["by"], "x": steps}
    if total is not None:
        scores["total"] = total
    record.merge("scores", {key: {**scores, **tokens, "meta": about["meta"]}})
    record.set(schema.VERSION_KEY, schema.VERSION)
    return record
