"""step-score: traces -> one score per step, read from a process reward model or from any model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from stepkit import options, run
from stepkit.cli.escapes import TEXT
from stepkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from stepkit.jsonl import Record
    from stepkit.model.engine import Engine
    from stepkit.search.scheduler import Strategy

PROFILE = ("marker", "positive", "negative", "step")
"""Options that describe a PRM; without --prm they have no effect and are refused."""


@options.command("step-score")
@options.uses_model("--prm", required=False, help="A process reward model, a GGUF file.")
@options.model_file(
    "-m", "--model", "policy", help="Any model: score by its own mean log-probability."
)
@options.uses_servers
@click.option("--name", metavar="NAME", help='Name of the scores (default: "prm", else "logprob").')
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

    With --prm, a step's score is the probability of the positive token against the
    negative one at the marker behind the step. How to lay a trace out is read from
    the PRM file's own profile, or from the options. With -m or --server, it is the
    mean log-probability that the model gives to the step's tokens.
    """
    likely = policy is not None or bool(server.urls)
    if (model.model is not None) == likely:
        raise UsageError("give either --prm FILE, or -m FILE or --server URL")
    if likely and (given := [key for key in PROFILE if profile[key] is not None]):
        raise UsageError(f"--{given[0]} describes a PRM: it goes with --prm")
    form = {"prompt": prompt, "system": system, "template": template}
    for key in () if likely else ("system", "template"):
        if form[key] is not None:
            raise UsageError(f"--{key} goes with -m or --server")
    if prompt is not None and template is not None:
        raise UsageError("--prompt and --template exclude each other")
    if keep_tokens and (policy is None or server.urls):
        raise UsageError("--keep-tokens goes with -m")
    from stepkit.cli.session import Work, run_strategies

    if likely:
        scoring = _likelihood(policy, model, server, form, streams, keep_tokens)
    else:
        scoring = _token_logit(model, {**profile, "prompt": prompt}, streams)
    key = name or ("logprob" if likely else "prm")

    def write(record: Record, result: Any) -> list[Record]:
        return [_scored(record, key, scoring.about, result)]

    work = Work(streams, scoring.open, scoring.strategy, write)
    run_strategies(work, {"scorer": key, **scoring.about["meta"], **scoring.build})


@dataclass(frozen=True)
class _Scoring:
    """The engine that is read, what decides its rounding, a strategy, and what its scores are."""

    open: Callable[[], Engine]
    build: dict[str, object]
    strategy: Callable[[Record], Strategy]
    about: dict[str, Any]


def _token_logit(
    options: options.ModelOptions, given: dict[str, str | None], streams: run.Streams
) -> _Scoring:
    from dataclasses import asdict
    from functools import partial

    from stepkit import schema
    from stepkit.model.layout import choose
    from stepkit.model.llama import model_name
    from stepkit.model.opening import open_engine, open_model
    from stepkit.model.profiles import Reader, profile_of
    from stepkit.search.score import token_logit

    assert options.model is not None
    model = open_model(options.model, options, "--prm")
    layout = choose(model, options, 0)
    streams.note(str(layout))
    profile = profile_of(model, given)
    reader = Reader(model, profile)

    def strategy(record: Record) -> Strategy:
        steps = _steps(record)
        x, total = yield from token_logit(reader, schema.problem_text(record.data), steps)
        return x, total, {}

    meta = {
        "model": model.fingerprint,
        "name": model_name(options.model),
        "profile": asdict(profile),
        **({} if layout.exact else {"layout": "fast"}),
    }
    about = {"of": profile.of, "by": "scorer", "meta": meta}
    return _Scoring(partial(open_engine, model, layout), model.build, strategy, about)


def _likelihood(
    policy: str | None,
    options: options.ModelOptions,
    server: options.ServerOptions,
    form: dict[str, str | None],
    streams: run.Streams,
    keep_tokens: bool,
) -> _Scoring:
    from stepkit.core.tokens import LOGPROBS, SIZES
    from stepkit.model.opening import Form, local_backend
    from stepkit.search.score import likelihood

    if server.urls:
        from stepkit.model.serving import server_backend

        backend = server_backend(server, policy, Form(**form), streams.warn, reads=True)
    else:
        assert policy is not None
        backend = local_backend(policy, options, Form(**form), 0)
    streams.note(backend.about)
    prefixes, identity = backend.prefixes, backend.identity

    def strategy(record: Record) -> Strategy:
        steps = _steps(record)
        prompt, response = prefixes.prompt(record.data), prefixes.response(record.data)
        (x, total), tokens = yield from likelihood(prefixes, prompt, response, steps)
        kept = {SIZES: tokens.size, LOGPROBS: tokens.logprob} if keep_tokens else {}
        return x, total, kept

    meta = {
        "model": identity.model,
        "name": identity.name,
        **({"server": identity.server} if identity.server else {}),
        "prompt": prefixes.prompter.identity,
        "system": prefixes.prompter.system,
        "unit": "nats per token",
        **({} if backend.exact else {"layout": "fast"}),
    }
    about = {"of": "confidence", "by": "scorer", "meta": meta}
    return _Scoring(backend.open, backend.build, strategy, about)


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
