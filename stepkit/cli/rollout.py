"""step-rollout: traces or bare problems -> evidence, drawn from a local model."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import click

from stepkit import options, run
from stepkit.cli.escapes import TEXT
from stepkit.errors import UsageError

if TYPE_CHECKING:
    from stepkit.cli.batches import Requests, Results
    from stepkit.jsonl import Record
    from stepkit.model.opening import Backend, Form
    from stepkit.search.scheduler import Strategy


@options.command("step-rollout")
@options.uses_model("-m", "--model", required=False, help="The policy that draws, a GGUF file.")
@options.uses_servers
@click.option(
    "--method",
    type=click.Choice(["chain", "sample"]),
    help="chain: draws from every prefix of a trace (default); sample: whole attempts.",
)
@click.option(
    "-k",
    "--draws",
    metavar="K",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Draws from each prefix, or attempts at each problem.",
)
@click.option(
    "--at",
    metavar="LABEL",
    help="Draw attempts from the last good step: before the first error of labels.LABEL.",
)
@click.option(
    "--seed", metavar="N", type=int, default=1, show_default=True, help="Seed of the whole run."
)
@click.option(
    "-T",
    "--temperature",
    metavar="X",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Sampling temperature; 0 takes the most probable token.",
)
@click.option(
    "--top-k",
    metavar="N",
    type=click.IntRange(min=0),
    default=0,
    help="Sample among the N most probable tokens (default: all).",
)
@click.option(
    "--top-p",
    metavar="P",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    help="Sample among the most probable tokens that make up P (default: 1, all).",
)
@click.option(
    "--min-p",
    metavar="P",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Leave out tokens below P times the most probable one (default: 0, none).",
)
@click.option(
    "--repetition-penalty",
    metavar="X",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    help="Divide the logits of tokens that were there before by X (default: 1, off).",
)
@click.option(
    "--logit-bias",
    metavar="TOKEN=X",
    type=TEXT,
    multiple=True,
    help="Add X to a token's logit; -inf bans it (repeatable; token by text or id).",
)
@click.option(
    "--grammar",
    metavar="FILE",
    type=click.File(),
    help="Draw only what follows this GBNF grammar.",
)
@click.option(
    "--max-tokens",
    metavar="N",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Most tokens in a draw; a draw that reaches it is cut off and undecided.",
)
@click.option(
    "--stop",
    metavar="TEXT",
    type=TEXT,
    multiple=True,
    help="Text that ends a draw and is left out (repeatable; \\n is a line break).",
)
@click.option(
    "--prompt",
    metavar="FORMAT",
    type=TEXT,
    help="Raw prompt with {problem} in it, instead of the model's chat template.",
)
@click.option(
    "--system", metavar="TEXT", type=TEXT, help="System message, for a model with a chat template."
)
@click.option(
    "--template",
    metavar="FILE",
    type=click.Path(),
    help="Chat template: Jinja, or a tokenizer_config.json (default: the model's own).",
)
@click.option(
    "--to-batch",
    metavar="FILE",
    type=click.Path(),
    help="Write the draws that the journal lacks as batch requests, instead of making them.",
)
@click.option(
    "--from-batch",
    metavar="FILE",
    type=click.Path(),
    help="Take the draws from the results of such requests.",
)
@click.option("--dry-run", is_flag=True, help="Print the draws and tokens it would take, as JSON.")
@options.grades
@options.journalled
@options.reads
@options.writes
def main(
    streams: run.Streams,
    model: options.ModelOptions,
    server: options.ServerOptions,
    method: str | None,
    at: str | None,
    draws: int,
    seed: int,
    prompt: str | None,
    system: str | None,
    template: str | None,
    to_batch: str | None,
    from_batch: str | None,
    dry_run: bool,
    jobs: int,
    **sampling: Any,
) -> None:
    """Draw from a model and keep every draw as evidence.

    \b
    step-split traces.jsonl | step-rollout -m policy.gguf -k 8 -o evidence.jsonl
    step-rollout problems.jsonl -m policy.gguf --method sample -k 16 | step-split

    chain (the default) draws K remainders from every prefix of each trace and keeps
    them in its tree; sample draws K whole attempts at each problem and writes one
    trace for each. Every draw has its answer extracted and graded: right, wrong or
    undecided (cut off, no answer, grader gave up).
    """
    for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
        if not isfinite(sampling[name]):
            raise UsageError(f"--{name.replace('_', '-')}: expected a finite number")
    if at is not None and method == "chain":
        raise UsageError("--at draws whole attempts: it goes with --method sample")
    if dry_run and (streams.output != run.STANDARD or streams.journal or streams.resume):
        raise UsageError("--dry-run writes no records: leave out -o, --journal and --resume")
    if dry_run and (to_batch or from_batch):
        raise UsageError("--dry-run makes no draws: leave out --to-batch and --from-batch")
    _check_source(streams, model, server, to_batch, from_batch)
    if server.urls or to_batch or from_batch:
        _refuse_steering(sampling)
    if prompt is not None and template is not None:
        raise UsageError("--prompt and --template exclude each other")
    from collections import Counter

    from stepkit.cli.session import Work, predict, run_strategies
    from stepkit.model.engine import Sampling
    from stepkit.model.opening import Form, steering
    from stepkit.model.sampler import Sampler
    from stepkit.search.chain import chain_trace
    from stepkit.search.sample import sample_trace

    method = method or ("sample" if at else "chain")
    form = Form(prompt, system, template)
    batch = _batch(to_batch, from_batch, server.served)
    backend = _backend(streams, model, server, form, batch, sampling["max_tokens"])
    streams.note(backend.about)
    sampling["stop"] = tuple(filter(None, sampling["stop"]))
    sampler = Sampler(
        backend.prefixes,
        Sampling(**{**sampling, **steering(backend.model, sampling)}),
        model=backend.identity,
        context=backend.context,
        seed=seed,
        exact=backend.exact,
    )

    drawn: Counter[str] = Counter()

    def strategy(record: Record) -> Strategy:
        if method == "chain":
            return chain_trace(sampler, record.data, draws)
        return sample_trace(sampler, record.data, draws, at, drawn)

    write = _with_tree if method == "chain" else _attempts
    work = Work(streams, backend.open, strategy, write, jobs)
    deciding = {"method": method, "at": at, **sampler.decisive, **backend.build}
    if dry_run:
        predict(work, sampler.sampling.max_tokens, backend.unit)
    elif batch is not None:
        batch.run(work, deciding)
    else:
        run_strategies(work, deciding)


def _refuse_steering(sampling: dict[str, Any]) -> None:
    """Raise UsageError for what servers do not agree on."""
    for name, off in (("repetition_penalty", 1.0), ("logit_bias", ()), ("grammar", None)):
        if sampling[name] != off:
            raise UsageError(f"--{name.replace('_', '-')} is for a model that runs here")


def _batch(
    to_batch: str | None, from_batch: str | None, served: str | None
) -> Requests | Results | None:
    """The batch file that takes the place of a model, if one does."""
    from stepkit.cli.batches import Requests, Results

    if to_batch is not None:
        return Requests(to_batch, served or "")
    return None if from_batch is None else Results(from_batch)


def _backend(
    streams: run.Streams,
    model: options.ModelOptions,
    server: options.ServerOptions,
    form: Form,
    batch: Requests | Results | None,
    max_tokens: int,
) -> Backend:
    """Where the draws come from."""
    if batch is None and not server.urls:
        from stepkit.model.opening import local_backend

        assert model.model is not None
        return local_backend(model.model, model, form, max_tokens)
    from stepkit.model.serving import batch_backend, server_backend

    if batch is None:
        return server_backend(server, model.model, form, streams.warn)
    return batch_backend(server.served or "", model.model, form, batch.engine)


def _check_source(
    streams: run.Streams,
    model: options.ModelOptions,
    server: options.ServerOptions,
    to_batch: str | None,
    from_batch: str | None,
) -> None:
    """Refuse what does not say, in one way, where the draws come from. Raises UsageError."""
    if to_batch is not None and from_batch is not None:
        raise UsageError("--to-batch and --from-batch are two steps: give one of them")
    if to_batch is None and from_batch is None:
        if model.model is None and not server.urls:
            raise UsageError("give -m FILE, a model to run here, or --server URL")
        return
    if server.urls:
        raise UsageError("batch files are used instead of --server")
    if server.served is None:
        raise UsageError("batch files need --served NAME, the model that is asked")
    if from_batch is not None and streams.output == run.STANDARD:
        raise UsageError("--from-batch needs -o FILE, beside which its draws are kept")


def _with_tree(record: Record, fields: dict[str, Any]) -> list[Record]:
    """The trace itself with its evidence."""
    from stepkit import schema

    for key, value in fields.items():
        if key == "labels" and not value:
            record.drop(key)
        else:
            record.set(key, value)
    record.set(schema.VERSION_KEY, schema.VERSION)
    return [record]


def _attempts(record: Record, attempts: list[dict[str, Any]] | None) -> list[Record]:
    """A trace for each attempt: the input's line, with what belonged to another response gone."""
    from stepkit import schema
    from stepkit.search.sample import DERIVED

    if attempts is None:
        return [record]
    traces = []
    for fields in attempts:
        trace = record.copy()
        for key in DERIVED:
            trace.drop(key)
        for key, value in fields.items():
            trace.set(key, value)
        trace.set(schema.VERSION_KEY, schema.VERSION)
        traces.append(trace)
    return traces
