"""step-rollout: the strategies of one method, run on its policy and the models that guide it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from stepkit.cli.actions.draw_plan import DrawPlan
from stepkit.cli.actions.record_fields import derived_traces, with_fields
from stepkit.cli.actions.rehearsal import rehearse_draws
from stepkit.cli.actions.run_batch_files import batch_action
from stepkit.cli.actions.session import SessionWork, print_estimate, run_strategies
from stepkit.cli.backends import draw_source, search_models
from stepkit.cli.backends.fetch_models import fetch_missing
from stepkit.cli.options.answer_reading import take_answer
from stepkit.cli.options.batch_files import BatchOptions
from stepkit.cli.options.methods import deciding_options
from stepkit.model.backend import sampling_fields
from stepkit.model.engine import Sampling
from stepkit.model.sampler import Sampler
from stepkit.runner import options, run
from stepkit.runner.first_record import check_first
from stepkit.search.expected_draws import expected_draws
from stepkit.search.method_registry import METHODS, load_method
from stepkit.search.method_setup import MethodSetup
from stepkit.text.segment_rules import DEFAULT_RULE

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record
    from stepkit.model.backend import Backend
    from stepkit.search.scheduler import Allot, Strategy


def draw(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    server: options.ServerOptions,
    batch: BatchOptions,
    plan: DrawPlan,
    dry_run: bool,
) -> None:
    """Run the method on every record, or with ``dry_run`` print what it would draw.

    Raises UsageError for a model that cannot be run in this way.
    """
    if not batch.given:
        check_first(streams, partial(rehearse_draws, plan))
    fetch_missing(
        streams,
        {
            "--model": model.model,
            "--prm": plan.settings.get("prm"),
            "--draft": plan.settings.get("draft"),
            "--reference": plan.prm.extra.reference,
        },
    )
    form, action = plan.prompt.form(), batch_action(batch, server.served)
    engine = action.engine if action else None
    most = plan.sampling["max_tokens"]
    backend = draw_source.backend_of(streams, model, server, form, engine, most)
    streams.note(backend.about)
    if backend.model is not None:
        streams.note(backend.model.weights_note)
    skipped: Counter[str] = Counter()
    work, decides = draw_work(streams, model, backend, plan, skipped)
    if dry_run:
        # how long a draw is shows in its tokens, and a server's prefixes are bytes
        whole = backend.prefixes.whole if backend.unit == "tokens" else lambda _: None
        print_estimate(work, most, whole, backend.unit)
    elif action is not None:
        action.run(work, decides)
    else:
        run_strategies(work, decides)
    if plan.settings.get("skip"):
        streams.warn(
            f"{skipped['skipped']} of {skipped['prefixes']} prefixes were not drawn from and share "
            f"the value before them (--skip {plan.settings['skip']['name']})"
        )


def draw_work(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    backend: Backend,
    plan: DrawPlan,
    skipped: Counter[str] | None = None,
) -> tuple[SessionWork, dict[str, Any]]:
    """The work on ``backend``, and what of it a resume must agree on.

    Args:
        model: how models are run that guide the search.
        skipped: see MethodSetup.

    Raises UsageError for a model that cannot guide it.
    """
    sampling = {**plan.sampling, "stop": tuple(filter(None, plan.sampling["stop"]))}
    form = plan.prompt.form()
    sampler = Sampler(
        backend.prefixes,
        Sampling(**(sampling | sampling_fields(backend.model, sampling))),
        model=backend.identity,
        context=backend.context,
        seed=plan.seed,
        exact=backend.exact,
        rope=backend.rope,
        refine=plan.refinement.form if plan.refinement else None,
    )
    policy = search_models.OpenedPolicy(
        backend, sampler, model, form, plan.seed, sampling["logit_bias"]
    )
    models = search_models.open_models(plan.settings, plan.prm, policy, streams)
    setup = MethodSetup(
        sampler,
        plan.settings,
        tokens=plan.keep_tokens,
        confidence=plan.keep_confidence,
        guidance=models.guidance,
        draft=models.draft,
        skipped=Counter() if skipped is None else skipped,
    )
    start = load_method(plan.method)

    def strategy(record: Record) -> Strategy:
        take_answer(record, plan.answers.field)
        return start(setup, record.data)

    allot = _allot(plan.method, plan.settings.get("budget"))
    work = SessionWork(
        streams,
        models.open,
        strategy,
        _writer(plan),
        plan.jobs,
        allot,
        plan.answers.reader(),
        plan.sampling["max_tokens"],
        lambda record: expected_draws(plan.method, plan.settings, record.data),
    )
    decides = {
        "method": plan.method,
        **deciding_options(plan.settings),
        "keep-tokens": plan.keep_tokens,
    }
    if plan.keep_confidence:
        decides["keep-confidence"] = True
    decides |= plan.answers.decides()
    decides = {**decides, **sampler.decisive, **backend.build, **models.decides}
    return work, decides


def _allot(method: str, limits: dict[str, float] | None) -> Allot | None:
    """The allocator of the budget of the whole run, if there is one."""
    if limits is None:
        return None
    from time import monotonic

    from stepkit.search.budget_allocation import allocator

    start = monotonic()
    return allocator(METHODS[method].writes, limits, lambda: monotonic() - start)


def _writer(plan: DrawPlan) -> Callable[[Record, Any], list[Record]]:
    """The function that makes the output records of a record and its strategy's result."""
    if METHODS[plan.method].writes == "attempts":
        return _attempts
    return _leaves(plan.settings.get("by")) if plan.emit_traces else _with_tree


def _leaves(rule: dict[str, Any] | None) -> Callable[[Record, Any], list[Record]]:
    def write(record: Record, fields: dict[str, Any]) -> list[Record]:
        from stepkit.cli.actions.leaf_traces import leaf_records

        (whole,) = _with_tree(record, fields)
        return leaf_records(whole, rule or record.data.get("split") or DEFAULT_RULE)

    return write


def _with_tree(record: Record, fields: dict[str, Any]) -> list[Record]:
    """The trace itself with its evidence."""
    return [with_fields(record, fields)]


def _attempts(record: Record, attempts: list[dict[str, Any]] | None) -> list[Record]:
    """A trace for each attempt, without the fields of another response."""
    from stepkit.search.record_tree import RESPONSE_FIELDS

    return [record] if attempts is None else derived_traces(record, RESPONSE_FIELDS, attempts)
