"""step-rollout: traces or bare problems -> evidence, drawn from a local model."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any

import click

from stepkit import options, run
from stepkit.cli.escapes import TEXT
from stepkit.cli.methods import chosen, deciding, of_methods
from stepkit.errors import UsageError
from stepkit.search.methods import METHODS, Setup, loaded

if TYPE_CHECKING:
    from stepkit.jsonl import Record
    from stepkit.search.scheduler import Allot, Strategy


@options.command("step-rollout")
@options.uses_model("-m", "--model", required=False, help="The policy that draws, a GGUF file.")
@of_methods
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
    streams: run.Streams,
    model: options.ModelOptions,
    method: str | None,
    seed: int,
    prompt: str | None,
    system: str | None,
    emit: str | None,
    keep_tokens: bool,
    regrade: bool,
    dry_run: bool,
    jobs: int,
    **sampling: Any,
) -> None:
    """Draw from a local model and keep every draw as evidence.

    \b
    step-split traces.jsonl | step-rollout -m policy.gguf -k 8 -o evidence.jsonl
    step-rollout problems.jsonl -m policy.gguf --method sample -k 16 | step-split

    chain (the default) draws K remainders from every prefix of each trace and keeps
    them in its tree; sample draws K whole attempts at each problem and writes one
    trace for each. Every draw has its answer extracted and graded: right, wrong or
    undecided (cut off, no answer, grader gave up).
    """
    if regrade:
        from stepkit.cli.regrade import check_alone
        from stepkit.cli.regrade import regrade as judge_again

        check_alone(click.get_current_context())
        judge_again(streams, jobs)
        return
    if model.model is None:
        raise UsageError("missing option '-m' / '--model' (see step-rollout --help)")
    name, chosen_options = chosen(method, sampling)
    for option in ("temperature", "top_p", "min_p"):
        if not isfinite(sampling[option]):
            raise UsageError(f"--{option.replace('_', '-')}: expected a finite number")
    if emit and METHODS[name].writes == "attempts":
        raise UsageError(f"--emit has no effect with --method {name}: it writes traces")
    if dry_run and chosen_options.get("budget"):
        raise UsageError("--dry-run with --budget: the budget itself says what will be drawn")
    if dry_run and (streams.output != run.STANDARD or streams.journal or streams.resume):
        raise UsageError("--dry-run writes no records: leave out -o, --journal and --resume")
    from stepkit.cli.session import Work, predict, run_strategies
    from stepkit.model.engine import Sampling
    from stepkit.model.llama import Model
    from stepkit.model.opening import describe, layout_for, prompter_for
    from stepkit.model.prefixes import Prefixes
    from stepkit.model.sampler import Sampler

    policy = Model(model.model, gpu_layers=model.gpu_layers)
    parameters = Sampling(**{**sampling, "stop": tuple(filter(None, sampling["stop"]))})
    layout = layout_for(policy, model, parameters.max_tokens)
    streams.note(describe(layout))
    prefixes = Prefixes(policy, prompter_for(policy, prompt, system))
    sampler = Sampler(prefixes, parameters, context=layout.context, seed=seed)
    setup = Setup(sampler, chosen_options, tokens=keep_tokens)
    start = loaded(name)

    def strategy(record: Record) -> Strategy:
        return start(setup, record.data)

    write = _writer(name, emit, chosen_options.get("by"))
    allot = _allot(name, chosen_options.get("budget"))
    work = Work(streams, policy, layout, strategy, write, jobs, allot)
    if dry_run:
        predict(work, parameters.max_tokens, prefixes.whole)
    else:
        decides = {"method": name, **deciding(chosen_options), "keep-tokens": keep_tokens}
        run_strategies(work, {**decides, **sampler.decisive, **policy.build})


def _allot(method: str, limits: dict[str, float] | None) -> Allot | None:
    """Who gives out the budget of the whole run, if there is one."""
    if limits is None:
        return None
    from time import monotonic

    from stepkit.search.allocation import allocator

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
        from stepkit.cli.leaves import leaf_records

        (whole,) = _with_tree(record, fields)
        return leaf_records(whole, rule or record.data.get("split") or {"by": "lines"})

    return write


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
