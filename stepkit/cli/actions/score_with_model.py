"""step-score with a model: the scores of a trace, or of all nodes of its tree, in one session."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from stepkit.cli.actions.step_scores import steps_of, with_scores
from stepkit.runner import run

if TYPE_CHECKING:
    from stepkit.cli.actions.session import SessionWork
    from stepkit.cli.backends.scorers import ScoringSetup
    from stepkit.io.jsonl import Record
    from stepkit.model.backend import Backend
    from stepkit.model.engine import Engine
    from stepkit.search.scheduler import Strategy
    from stepkit.search.scorers import Scorer, TraceScores

RecordScores: TypeAlias = "tuple[TraceScores, list[float | None]]"
"""The scores of the steps, and of the nodes of the tree (none without a tree)."""


def score_with_model(
    streams: run.StreamOptions, setup: ScoringSetup, key: str, cache: str | None
) -> None:
    """Score every record, and write the scores under ``key``.

    Args:
        cache: folder of scores that outlive the run, or None.
    """
    from stepkit.cli.actions.session import run_strategies

    work, deciding = scoring_work(streams, setup, key, cache)
    run_strategies(work, {"scorer": key, **deciding})


def scoring_work(
    streams: run.StreamOptions, setup: ScoringSetup, key: str, cache: str | None
) -> tuple[SessionWork, dict[str, Any]]:
    """The work, and what of it a resume must agree on; arguments as above."""
    from stepkit.cli.actions.session import SessionWork

    scorer = setup.scorer

    def strategy(record: Record) -> Strategy:
        return (yield from _scores(scorer, record))

    def write(record: Record, scores: RecordScores) -> list[Record]:
        return [_with_scores(record, key, scorer, *scores)]

    deciding = {**scorer.meta, **setup.build}
    engine = partial(open_engine, cache, streams.warn, setup, deciding)
    work = SessionWork(streams, engine, strategy, write)
    return work, deciding


def open_engine(
    cache: str | None,
    warn: Callable[[str], None],
    source: ScoringSetup | Backend,
    deciding: dict[str, Any],
) -> Engine:
    """The engine of ``source``, which takes from the folder ``cache`` what it has.

    Args:
        warn: takes a line about damage in the cache.
        deciding: the values that decide a score, in addition to its request.
    """
    from stepkit.io.score_cache import ScoreCache
    from stepkit.model.recorded_engine import RecordedEngine

    engine = source.open()
    return engine if cache is None else RecordedEngine(engine, ScoreCache(cache, deciding, warn))


def _scores(scorer: Scorer, record: Record) -> Generator[Any, Any, RecordScores]:
    from stepkit import schema
    from stepkit.core import trace
    from stepkit.search.scorers.tree_scores import score_tree

    if schema.check_tree(record.data) is None:
        return (yield from scorer.score(record.data, steps_of(record))), []
    tree = trace.spine_tree(record.data, schema.steps(record.data))
    return (yield from score_tree(scorer, record.data, tree))


def _with_scores(
    record: Record, key: str, scorer: Scorer, scores: TraceScores, nodes: list[float | None]
) -> Record:
    if nodes:
        tree = record.data["tree"]
        known = tree.get("scores")
        others = known if isinstance(known, dict) else {}
        column = {"of": scorer.of, "by": "scorer", "x": nodes, "meta": scorer.meta}
        record.set("tree", {**tree, "scores": {**others, key: column}})
    return with_scores(record, key, scorer, "scorer", scores)
