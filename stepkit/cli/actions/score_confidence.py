"""step-score --kept and --by consistency: how sure a model was, without running it again."""

from __future__ import annotations

from stepkit.cli.actions.step_scores import score_without_engine
from stepkit.cli.options.confidence import ConfidenceOptions
from stepkit.runner.options import refuse_idle_options
from stepkit.runner.run import StreamOptions


def score_stored_confidence(
    measure: ConfidenceOptions, streams: StreamOptions, name: str | None
) -> None:
    """Score every step by the log-probabilities, or by the draws, that its record kept.

    Args:
        name: name of the scores; None: that of the measure.

    Raises UsageError for an option that has no effect here.
    """
    refuse_idle_options({"by", "group", "kept", "sampler", "name"}, f"with {measure.model_free}")
    key = name or measure.by
    if measure.kept:
        from stepkit.search.scorers.likelihood import StoredLikelihoodScorer

        kept = StoredLikelihoodScorer(measure.meta(), measure.by, measure.group)
        score_without_engine(streams, key, kept, "scorer")
        return
    from stepkit.grade import same_answer
    from stepkit.search.scorers.consistency import ConsistencyScorer

    draws = ConsistencyScorer(same_answer, measure.meta(), measure.sampler)
    score_without_engine(streams, key, draws, "sampler")
