"""step-score: traces -> one score per step, by a verifier, a model, a judge or a checker."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from stepkit.cli.actions.score_without_model import steps_of, with_scores
from stepkit.cli.options import checkers, confidence, judge, prm
from stepkit.cli.options.escapes import TEXT
from stepkit.errors import UsageError
from stepkit.runner import options, run

if TYPE_CHECKING:
    from stepkit.cli.backends.scorers import ScoringSetup
    from stepkit.io.jsonl import Record
    from stepkit.model.backend import Backend
    from stepkit.model.engine import Engine
    from stepkit.search.scheduler import Strategy
    from stepkit.search.scorers import Scorer, TraceScores


@options.command("step-score")
@options.uses_model("--prm", required=False, help="A process reward model, a GGUF file.")
@options.model_file(
    "-m", "--model", "policy", help="Any model: score by how sure it is of the steps."
)
@options.uses_servers
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
@click.option(
    "--cache",
    metavar="DIR",
    type=click.Path(),
    help="Keep scores in DIR, and take them from there.",
)
@options.journalled
@options.reads
@options.writes
def main(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    policy: str | None,
    server: options.ServerOptions,
    name: str | None,
    prompt: str | None,
    system: str | None,
    template: str | None,
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

    With --prm, a step's score is what a process reward model says of it; how the model
    is read is told by its own profile, by its name and tokens, or by the options. With
    -m or --server, it is the mean log-probability that the model gives to the step's
    tokens, or what --by says; with --judge, what the model answers when it is asked
    about the steps. With --check or --command, it is 1 for a right step and 0 for a
    wrong one.
    """
    described = prm.parse_prm_options(given)
    judged, checks, measure = (
        judge.parse_judge_options(given),
        checkers.parse_checker_options(given),
        confidence.parse_confidence_options(given),
    )
    if checks is not None:
        checkers.score(checks, streams, name)
        return
    if measure.alone:
        confidence.score(measure, streams, name)
        return
    form = {"prompt": prompt, "system": system, "template": template}
    likely = policy is not None or bool(server.urls)
    if (model.model is not None) == likely:
        raise UsageError(
            "give either --prm FILE, or -m FILE or --server URL; or --check, --command, --kept or "
            "--by consistency, which need no model"
        )
    if likely:
        described.check_needed()
        if explained:
            raise UsageError("--explain describes a PRM: it goes with --prm")
        if judged is not None and measure.given:
            raise UsageError("--by and --judge exclude each other")
        if keep_tokens and (policy is None or server.urls or judged is not None):
            raise UsageError("--keep-tokens goes with -m, and not with --judge")
    else:
        _needs_any_model(form, judged is not None, measure.given, keep_tokens)
    if prompt is not None and template is not None:
        raise UsageError("--prompt and --template exclude each other")
    if explained:
        from stepkit.cli.backends.explain import explain

        fields = {**described.fields, "prompt": prompt}
        explain(streams, model, fields, described.profile, described.extra.profile)
        return
    from stepkit.cli.backends import judge_scorer, scorers

    key = name or (judged.name if judged else measure.by if likely else "prm")
    if judged is not None:
        backend = judge_scorer.backend_of(judged, policy, model, server, form, streams)
        if judged.name == "pairs":
            judge_scorer.compare(judged, backend, streams, key, partial(_open, cache))
            return
        scoring = judge_scorer.judge(judged, backend)
    elif likely:
        scoring = scorers.likelihood(policy, model, server, form, streams, keep_tokens, measure)
    else:
        scoring = scorers.verifier(model, described, streams, prompt)
    _score_all(streams, scoring, key, cache)


def _needs_any_model(
    form: dict[str, str | None], judged: bool, measured: bool, keep_tokens: bool
) -> None:
    """Refuse what has no effect with a PRM."""
    given = {
        "--judge": judged,
        "--by": measured,
        "--keep-tokens": keep_tokens,
        "--system": form["system"] is not None,
        "--template": form["template"] is not None,
    }
    for option, there in given.items():
        if there:
            raise UsageError(f"{option} goes with -m or --server")


def _score_all(
    streams: run.StreamOptions, scoring: ScoringSetup, key: str, cache: str | None
) -> None:
    from stepkit.cli.actions.session import SessionWork, run_strategies

    scorer = scoring.scorer

    def strategy(record: Record) -> Strategy:
        return (yield from _score(scorer, record))

    def write(record: Record, result: tuple[TraceScores, list[float | None]]) -> list[Record]:
        return [_with_all_scores(record, key, scorer, *result)]

    deciding = {**scorer.meta, **scoring.build}
    work = SessionWork(streams, partial(_open, cache, scoring, deciding), strategy, write)
    run_strategies(work, {"scorer": key, **deciding})


def _open(cache: str | None, scoring: ScoringSetup | Backend, deciding: dict[str, Any]) -> Engine:
    from stepkit.io.score_cache import ScoreCache
    from stepkit.model.recorded_engine import RecordedEngine

    engine = scoring.open()
    return engine if cache is None else RecordedEngine(engine, ScoreCache(cache, deciding))


def _score(
    scorer: Scorer, record: Record
) -> Generator[Any, Any, tuple[TraceScores, list[float | None]]]:
    """Scores of the trace, and of the nodes of its tree, if it has one."""
    from stepkit import schema
    from stepkit.core import trace
    from stepkit.search.scorers.tree_scores import score_tree

    if schema.check_tree(record.data) is None:
        return (yield from scorer.score(record.data, steps_of(record))), []
    tree = trace.spine_tree(record.data, schema.steps(record.data))
    return (yield from score_tree(scorer, record.data, tree))


def _with_all_scores(
    record: Record, key: str, scorer: Scorer, scored: TraceScores, nodes: list[float | None]
) -> Record:
    """The record with what was said of its steps, and of the nodes of its tree."""
    if nodes:
        tree = record.data["tree"]
        held = tree.get("scores")
        of_nodes = {"of": scorer.of, "by": "scorer", "x": nodes, "meta": scorer.meta}
        others = held if isinstance(held, dict) else {}
        record.set("tree", {**tree, "scores": {**others, key: of_nodes}})
    return with_scores(record, key, scorer, "scorer", scored)
