"""step-rollout: traces or bare problems -> evidence, drawn from a language model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from stepkit.cli.actions.record_fields import another, with_fields
from stepkit.cli.backends import draw_source, guidance
from stepkit.cli.backends.draw_source import uses_batches
from stepkit.cli.options import prm
from stepkit.cli.options.escapes import TEXT
from stepkit.cli.options.methods import deciding, method_options, parse_method_options
from stepkit.cli.options.sampling import check, refuse_steering, sampling_options
from stepkit.errors import UsageError
from stepkit.runner import options, run
from stepkit.search.method_registry import METHODS, MethodSetup, loaded
from stepkit.search.refinement_prompts import refinement_of
from stepkit.text.segment_rules import DEFAULT_RULE

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.search.scheduler import Allot, Strategy


@options.command("step-rollout")
@options.uses_model("-m", "--model", required=False, help="The policy that draws, a GGUF file.")
@options.uses_servers
@method_options
@prm.prm_options
@click.option(
    "--seed", metavar="N", type=int, default=1, show_default=True, help="Seed of the whole run."
)
@sampling_options
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
@uses_batches
@click.option(
    "--emit",
    type=click.Choice(["tree", "traces"]),
    help="Write each record with its tree (default), or a trace for each attempt in the tree.",
)
@click.option("--keep-tokens", is_flag=True, help="Keep the log-probability of every token drawn.")
@click.option(
    "--regrade",
    is_flag=True,
    help="Draw nothing: judge the answers of all draws in the input again.",
)
@click.option("--dry-run", is_flag=True, help="Print the draws and tokens it would take, as JSON.")
@options.grades
@options.journalled
@options.reads
@options.writes
def main(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    server: options.ServerOptions,
    method: str | None,
    seed: int,
    prompt: str | None,
    system: str | None,
    template: str | None,
    to_batch: str | None,
    from_batch: str | None,
    emit: str | None,
    keep_tokens: bool,
    regrade: bool,
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
    if regrade:
        from stepkit.cli.actions.run_regrade import regrade as judge_again

        judge_again(streams, jobs)
        return
    name, chosen_options = parse_method_options(method, sampling)
    described = prm.parse_prm_options(sampling)
    if chosen_options.get("prm") is None:
        described.check_needed()
    check(sampling)
    refinement = refinement_of(chosen_options)
    if emit and METHODS[name].writes == "attempts":
        raise UsageError(f"--emit has no effect with --method {name}: it writes traces")
    if dry_run and chosen_options.get("budget"):
        raise UsageError("--dry-run with --budget: the budget itself says what will be drawn")
    if dry_run and (streams.output != run.STANDARD or streams.journal or streams.resume):
        raise UsageError("--dry-run writes no records: leave out -o, --journal and --resume")
    if dry_run and (to_batch or from_batch):
        raise UsageError("--dry-run makes no draws: leave out --to-batch and --from-batch")
    draw_source.check(streams, model, server, to_batch, from_batch)
    if chosen_options.get("budget") is not None and (to_batch or from_batch):
        raise UsageError("--budget is spent draw by draw: not with batch files")
    if chosen_options.get("prm") is not None and (to_batch or from_batch):
        raise UsageError("--prm judges draw by draw: not with batch files")
    if server.urls or to_batch or from_batch:
        refuse_steering(sampling)
    if prompt is not None and template is not None:
        raise UsageError("--prompt and --template exclude each other")
    from stepkit.cli.actions.session import SessionWork, predict, run_strategies
    from stepkit.model.backend import PromptForm, steering
    from stepkit.model.engine import Sampling
    from stepkit.model.sampler import Sampler

    form = PromptForm(prompt, system, template)
    batch = draw_source.batch_of(to_batch, from_batch, server.served)
    most = sampling["max_tokens"]
    backend = draw_source.backend_of(streams, model, server, form, batch, most)
    streams.note(backend.about)
    biases = sampling["logit_bias"]
    sampling["stop"] = tuple(filter(None, sampling["stop"]))
    sampler = Sampler(
        backend.prefixes,
        Sampling(**{**sampling, **steering(backend.model, sampling)}),
        model=backend.identity,
        context=backend.context,
        seed=seed,
        exact=backend.exact,
        refine=refinement.form if refinement else None,
    )
    policy = guidance.OpenedPolicy(backend, sampler, model, form, seed, biases)
    guided = guidance.guides_of(chosen_options, described, policy, streams)
    setup = MethodSetup(
        sampler,
        chosen_options,
        tokens=keep_tokens,
        guidance=guided.guidance,
        draft=guided.draft,
    )
    start = loaded(name)

    def strategy(record: Record) -> Strategy:
        return start(setup, record.data)

    write = _writer(name, emit, chosen_options.get("by"))
    allot = _allot(name, chosen_options.get("budget"))
    work = SessionWork(streams, guided.open, strategy, write, jobs, allot)
    decides = {"method": name, **deciding(chosen_options), "keep-tokens": keep_tokens}
    decides = {**decides, **sampler.decisive, **backend.build, **guided.decides}
    if dry_run:
        # the length of a draw is told by tokens, which a server's prefixes are not made of
        whole = backend.prefixes.whole if backend.unit == "tokens" else lambda _: None
        predict(work, sampler.sampling.max_tokens, whole, backend.unit)
    elif batch is not None:
        batch.run(work, decides)
    else:
        run_strategies(work, decides)


def _allot(method: str, limits: dict[str, float] | None) -> Allot | None:
    """Who gives out the budget of the whole run, if there is one."""
    if limits is None:
        return None
    from time import monotonic

    from stepkit.search.budget_allocation import allocator

    begun = monotonic()
    return allocator(METHODS[method].writes, limits, lambda: monotonic() - begun)


def _writer(
    method: str, emit: str | None, rule: dict[str, Any] | None
) -> Callable[[Record, Any], list[Record]]:
    """What becomes of a record and what its strategy returned."""
    if METHODS[method].writes == "attempts":
        return _attempts
    if emit != "traces":
        return _with_tree

    def write(record: Record, fields: dict[str, Any]) -> list[Record]:
        from stepkit.cli.actions.leaf_traces import leaf_records

        (whole,) = _with_tree(record, fields)
        return leaf_records(whole, rule or record.data.get("split") or DEFAULT_RULE)

    return write


def _with_tree(record: Record, fields: dict[str, Any]) -> list[Record]:
    """The trace itself with its evidence."""
    return [with_fields(record, fields)]


def _attempts(record: Record, attempts: list[dict[str, Any]] | None) -> list[Record]:
    """A trace for each attempt: the input's line, with what belonged to another response gone."""
    from stepkit.search.methods.sample import DERIVED

    return [record] if attempts is None else [another(record, DERIVED, one) for one in attempts]
