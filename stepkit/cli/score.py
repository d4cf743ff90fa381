"""step-score: traces -> one score per step, read from a process reward model or from any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stepkit import options, run
from stepkit.cli.escapes import TEXT
from stepkit.cli.explain import explain, list_profiles
from stepkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from stepkit.jsonl import Record
    from stepkit.search.scheduler import Strategy
    from stepkit.search.scorers import Scored, Scorer

PROFILE = ("marker", "positive", "negative", "step")
"""Options that describe a PRM; without --prm they have no effect and are refused."""


@options.command("step-score")
@options.uses_model("--prm", required=False, help="A process reward model, a GGUF file.")
@options.model_file(
    "-m", "--model", "policy", help="Any model: score by its own mean log-probability."
)
@options.uses_servers
@click.option("--name", metavar="NAME", help='Name of the scores (default: "prm", else "logprob").')
@click.option(
    "--profile",
    "asked",
    metavar="NAME|FILE",
    help="How the PRM is read: a family or a JSON file (default: auto, by the model itself).",
)
@click.option(
    "--list-profiles",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=list_profiles,
    help="List the families of PRMs that are known, and exit.",
)
@click.option(
    "--explain",
    "explained",
    is_flag=True,
    help="Print the tokens of the first record, and what would be read where, and exit.",
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
    help="System message, for -m or --server with a chat template.",
)
@click.option(
    "--template",
    metavar="FILE",
    type=click.Path(),
    help="Chat template: Jinja, or a tokenizer_config.json (default: the model's own).",
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
    server: options.ServerOptions,
    name: str | None,
    asked: str | None,
    explained: bool,
    prompt: str | None,
    system: str | None,
    template: str | None,
    keep_tokens: bool,
    **profile: str | None,
) -> None:
    """Score every step of a trace in one pass.

    \b
    step-split traces.jsonl | step-score --prm prm.gguf | step-rerank
    step-split traces.jsonl | step-score -m policy.gguf --name logprob

    With --prm, a step's score is what the process reward model says behind the step.
    How it wants a trace laid out and read is its profile: carried by the file,
    recognised by its name and tokens, or given by --profile and the options under it.
    With -m or --server, the score is the mean log-probability that the model gives to
    the step's tokens.
    """
    likely = policy is not None or bool(server.urls)
    if (model.model is not None) == likely:
        raise UsageError("give either --prm FILE, or -m FILE or --server URL")
    if likely and (given := [key for key in PROFILE if profile[key] is not None]):
        raise UsageError(f"--{given[0]} describes a PRM: it goes with --prm")
    if likely and (asked is not None or explained):
        raise UsageError(
            f"--{'explain' if explained else 'profile'} is of a PRM: it goes with --prm"
        )
    form = {"prompt": prompt, "system": system, "template": template}
    for key in () if likely else ("system", "template"):
        if form[key] is not None:
            raise UsageError(f"--{key} goes with -m or --server")
    if prompt is not None and template is not None:
        raise UsageError("--prompt and --template exclude each other")
    if keep_tokens and (policy is None or server.urls):
        raise UsageError("--keep-tokens goes with -m")
    if explained:
        return explain(streams, model, {**profile, "prompt": prompt}, asked)
    from stepkit.cli import scorers
    from stepkit.cli.session import Work, run_strategies

    if likely:
        scoring = scorers.likelihood(policy, model, server, form, streams, keep_tokens)
    else:
        scoring = scorers.verifier(model, {**profile, "prompt": prompt}, streams, asked=asked)
    key = name or ("logprob" if likely else "prm")
    scorer = scoring.scorer

    def strategy(record: Record) -> Strategy:
        return (yield from scorer.score(record.data, _steps(record)))

    def write(record: Record, result: Scored) -> list[Record]:
        return [_with_scores(record, key, scorer, result)]

    work = Work(streams, scoring.open, strategy, write)
    run_strategies(work, {"scorer": key, **scorer.meta, **scoring.build})


def _steps(record: Record) -> list[str]:
    from stepkit import schema

    steps = schema.steps(record.data)
    if not steps:
        raise DataError("no steps to score", "response")
    return steps


def _with_scores(record: Record, key: str, scorer: Scorer, scored: Scored) -> Record:
    from stepkit import schema

    entry: dict[str, Any] = {"of": scorer.of, "by": "scorer", "x": scored.x}
    if scored.total is not None:
        entry["total"] = scored.total
    record.merge("scores", {key: {**entry, **scored.more, "meta": scorer.meta}})
    record.set(schema.VERSION_KEY, schema.VERSION)
    return record
