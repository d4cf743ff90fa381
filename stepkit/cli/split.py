"""step-split: cut responses into steps that join to them exactly."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from stepkit.cli.actions.leaf_traces import leaf_records
from stepkit.cli.actions.split_records import AnswerSource, ResponseText, Splitter, caught
from stepkit.cli.options.answer_reading import (
    ANSWER_PARAMETERS,
    answer_options,
    parse_answer_options,
)
from stepkit.cli.options.segmentation import rule_of, segmentation_options
from stepkit.errors import DataError, UsageError
from stepkit.runner.options import (
    command,
    input_options,
    jobs_option,
    on_command_line,
    output_options,
)
from stepkit.runner.run import StreamOptions, blocks, each
from stepkit.text.segment_rules import NEED_TOKENS


@command("step-split", own="Cutting and grading")
@input_options
@segmentation_options
@click.option(
    "--quantile",
    metavar="P",
    type=click.FloatRange(0, 1, min_open=True),
    help="With --by confidence: the lowest share P of all tokens; reads the files twice.",
)
@click.option(
    "--score", metavar="NAME", help="Take the tokens from this score, not from the sample."
)
@click.option(
    "--field",
    metavar="KEY",
    help="The field with the text, or with the steps as a list of texts (default: response, "
    "completion, output or generation; else steps).",
)
@click.option(
    "--problem", metavar="KEY", help="The field with the problem, where it has another name."
)
@click.option(
    "--thinking",
    metavar="KEY",
    help="A field whose text comes first, between <think> tags, when it is there.",
)
@click.option("--leaves", is_flag=True, help="Write a trace for each attempt in a tree.")
@click.option("--grade", is_flag=True, help="Fill final and correct; needs the field answer.")
@jobs_option
@answer_options
@click.option("--force", is_flag=True, help="Cut again what carries evidence, and drop that.")
@output_options
def main(
    streams: StreamOptions,
    by: str,
    quantile: float | None,
    grade: bool,
    jobs: int,
    force: bool,
    field: str | None,
    problem: str | None,
    thinking: str | None,
    score: str | None,
    leaves: bool,
    **given: Any,
) -> None:
    """Cut responses into steps; joined, the steps are the response again.

    Steps that come without a response are kept and joined to one. A record with neither is a
    problem to start from and passes with the rule alone.

    \b
      step-split traces.jsonl
      step-split --by sentence --min-chars 20 traces.jsonl
      step-split --by regex --pattern '^Then ' --start traces.jsonl
      step-split --by confidence --quantile 0.02 drawn.jsonl
      step-split --problem modified_question --field modified_process prmbench.jsonl
    """
    answers = parse_answer_options(given)
    if score is not None and by not in NEED_TOKENS:
        raise UsageError(f"--score has no effect with --by {by}; it is for --by confidence|tokens")
    if quantile is not None:
        given |= _threshold(streams, by, quantile, score, given)
    rule = rule_of(by, **given)
    chosen = on_command_line()
    always = not chosen.keys().isdisjoint(("by", *given))
    if leaves:
        _refuse_with_leaves(
            grade=grade,
            jobs="jobs" in chosen,
            force=force,
            field=field,
            problem=problem,
            thinking=thinking,
            score=score,
            **answers.decides(),
        )
        blocks(
            streams,
            each(lambda one: leaf_records(one, rule if always else one.data.get("split", rule))),
        )
        return
    text = ResponseText(field, thinking, score, problem)
    splitter = Splitter(rule, text, force, kept=rule if always else rule_of("blank"))
    if not grade:
        for name, option in {**chosen, "jobs": "-j"}.items():
            if name in chosen and name in ("jobs", *ANSWER_PARAMETERS):
                raise UsageError(f"{option} has no effect without --grade")
        _split(streams, splitter, None)
        return
    splitter.answers = AnswerSource(answers.reader(), answers.field)
    _split(streams, splitter, jobs)


def _split(streams: StreamOptions, splitter: Splitter, jobs: int | None) -> None:
    """Cut all records, and with ``jobs`` grade them in as many processes."""
    if jobs is None:
        blocks(streams, splitter.block)
    else:
        from stepkit.grade import Grader

        with Grader(jobs) as grader:
            splitter.grader = grader
            splitter.explain = streams.note
            blocks(streams, splitter.block)
            (streams.warn if splitter.unanswered.missing else streams.note)(
                splitter.unanswered.note()
            )
            if note := grader.note():
                streams.warn(note)
    for note in splitter.notes():
        streams.warn(note)


def _refuse_with_leaves(**given: Any) -> None:
    for name, value in given.items():
        if value:
            raise UsageError(f"--{name} has no effect with --leaves: the attempts are in the tree")


def _threshold(
    streams: StreamOptions, by: str, share: float, score: str | None, given: dict[str, Any]
) -> dict[str, Any]:
    """The threshold below which ``share`` of all tokens of the files lie, as parts of the rule.

    Records that cannot be read or have no tokens are left to the second reading.
    """
    from stepkit.core.response_tokens import tokens_of
    from stepkit.io.lines import STDIN, LineReader, check
    from stepkit.io.records import BadLine, items
    from stepkit.text.token_cuts import quantile

    if by == "confidence" and (given["below"] or given["top"]):
        raise UsageError("--by confidence needs one of --below, --top and --quantile")
    if by != "confidence":
        return {"quantile": share}  # rule_of says what it is for
    check(streams.files)
    if not streams.files or STDIN in streams.files:
        raise UsageError("--quantile reads its input twice: name files instead")
    counts: Counter[float] = Counter()
    for block in items(LineReader(streams.files)):
        for item in block:
            tokens = caught(tokens_of, item.data, score) if not isinstance(item, BadLine) else None
            if tokens is not None and not isinstance(tokens, DataError):
                counts.update(value for value in tokens.logprob if value is not None)
    if not counts:
        raise UsageError("--quantile: no record has tokens with a log-probability")
    below = quantile(counts, share)
    streams.note(f"{counts.total()} tokens; steps begin at those less probable than {below:.4g}")
    return {"below": below, "quantile": share}
