"""step-split: cut responses into steps that join to them exactly."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from stepkit import schema
from stepkit.errors import DataError, UsageError
from stepkit.options import command, grades, reads, writes
from stepkit.run import Result, Streams, blocks

if TYPE_CHECKING:
    from stepkit.grade import Grader
    from stepkit.jsonl import Record

RESPONSES = ("response", "completion", "output", "generation")
"""Fields that may hold the text, in the order in which they are looked for."""

EVIDENCE = ("tree", "labels", "scores", "role")
"""What belongs to the steps as they were, or to the verdict on them."""


@command("step-split")
@reads
@click.option(
    "--by",
    type=click.Choice(["lines", "blank", "sentence", "marker", "regex"]),
    default="lines",
    show_default=True,
    help="Where a step ends: at line ends, blank lines, sentences, 'Step k:' or --pattern.",
)
@click.option("--pattern", metavar="REGEX", help="With --by regex: its matches end steps.")
@click.option("--start", is_flag=True, help="With --by regex: matches begin steps instead.")
@click.option(
    "--min-chars",
    metavar="N",
    type=click.IntRange(min=1),
    help="Join a step shorter than N characters to the next one.",
)
@click.option(
    "--max-steps",
    metavar="N",
    type=click.IntRange(min=1),
    help="At most N steps; the last one takes the rest.",
)
@click.option(
    "--field",
    metavar="KEY",
    help="The field with the text (default: response, completion, output or generation).",
)
@click.option("--grade", is_flag=True, help="Fill final and correct; needs the field answer.")
@grades
@click.option("--force", is_flag=True, help="Cut again what carries evidence, and drop that.")
@writes
def main(
    streams: Streams, by: str, field: str | None, grade: bool, jobs: int, force: bool, **given: Any
) -> None:
    """Cut responses into steps; joined, the steps are the response again.

    A record without a response is a problem to start from and passes with the rule alone.

    \b
      step-split traces.jsonl
      step-split --by sentence --min-chars 20 traces.jsonl
      step-split --by regex --pattern '^Then ' --start traces.jsonl
    """
    splitter = Splitter(_rule(by, **given), field, force)
    if not grade:
        if _was_given("jobs"):
            raise UsageError("-j has no effect without --grade")
        blocks(streams, splitter.block)
    else:
        from stepkit.grade import Grader

        with Grader(jobs) as grader:
            splitter.grader = grader
            blocks(streams, splitter.block)
            if note := grader.note():
                streams.warn(note)
    for note in splitter.notes():
        streams.warn(note)


def _was_given(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE


def _rule(by: str, pattern: str | None, start: bool, **limits: int | None) -> dict[str, Any]:
    """The rule as the record's ``split`` has it. Raises UsageError when it is none."""
    from stepkit.text.segment import check

    rule: dict[str, Any] = {"by": by}
    if by == "regex":
        if pattern is None:
            raise UsageError("--by regex needs --pattern")
        rule |= {"pattern": pattern} | ({"start": True} if start else {})
    elif pattern is not None or start:
        option = "--start" if pattern is None else "--pattern"
        raise UsageError(f"{option} has no effect with --by {by}; it is for --by regex")
    rule |= {name: limit for name, limit in limits.items() if limit is not None}
    try:
        check(rule)
    except DataError as error:
        raise UsageError(f"--{error.field.removeprefix('split.')}: {error.what}") from None
    return rule


class Splitter:
    """Cuts records by one rule, and counts what people should know of."""

    def __init__(self, rule: dict[str, Any], field: str | None, force: bool) -> None:
        self.rule, self.field, self.force = rule, field, force
        self.grader: Grader | None = None
        self._ids: Counter[int] = Counter()
        self._dropped: Counter[str] = Counter()
        self._bare = self._cut = 0

    def notes(self) -> list[str]:
        """One line each on what was dropped and on an input without any response."""
        dropped = [f"{count} {name}" for name, count in self._dropped.items()]
        notes = (
            [f"dropped evidence for steps that changed: {', '.join(dropped)}"] if dropped else []
        )
        if self._bare and not self._cut:
            names = f'"{self.field}"' if self.field else ", ".join(RESPONSES)
            notes.append(f"no record has a text to cut ({names}); --field names it")
        return notes

    def block(self, records: list[Record]) -> list[Result]:
        """One result a record; the answers of a block are graded together."""
        changes = [_caught(self._changes, record) for record in records]
        if self.grader:
            self._grade(records, changes)
        return [
            change if isinstance(change, DataError) else _caught(self._apply, record, change)
            for record, change in zip(records, changes, strict=True)
        ]

    def _changes(self, record: Record) -> dict[str, Any]:
        """The steps and what goes with them, by field."""
        from stepkit.text.segment import split

        data = record.data
        key = self._text_field(data)
        if key is None:
            if data.get("steps"):
                raise DataError("there are steps but no text to cut; --field names it", "response")
            return {"split": self.rule}
        steps = split(schema.text(data, key), self.rule)
        if data.get("steps") == steps and any(data.get(name) for name in EVIDENCE):
            return {}  # the rule that is there cut the evidence, too
        if data.get("response") not in (None, data[key]):
            raise DataError(f'another text than "{key}" is there; rename one', "response")
        return {"response": data[key], "steps": steps, "split": self.rule}

    def _text_field(self, data: dict[str, Any]) -> str | None:
        """The field to cut; None for a bare problem."""
        if self.field:
            if self.field not in data and "problem" not in data and "prompt" not in data:
                schema.text(data, self.field)  # says which fields there are
            return self.field if data.get(self.field) is not None else None
        return next((name for name in RESPONSES if data.get(name) is not None), None)

    def _grade(self, records: list[Record], changes: list[dict[str, Any] | DataError]) -> None:
        """Add final and correct to the changes, or put the error in their place."""
        from stepkit.text.answers import extract

        assert self.grader is not None
        asked: list[tuple[dict[str, Any], str, str | None]] = []
        for place, (record, change) in enumerate(zip(records, changes, strict=True)):
            key = self._text_field(record.data)
            if isinstance(change, DataError) or key is None:
                continue
            reference = _caught(_reference, record.data)
            if isinstance(reference, DataError):
                changes[place] = reference
                continue
            final = extract(record.data[key]) if _ended(record.data) else None
            asked.append((change, reference, final))
        verdicts = self.grader.grade((reference, final) for _, reference, final in asked)
        for (change, _, final), verdict in zip(asked, verdicts, strict=True):
            change |= {"final": final, "correct": None if verdict is None else verdict == 1.0}

    def _apply(self, record: Record, changes: dict[str, Any]) -> list[Record]:
        """Write into the record what differs from what it holds."""
        data = record.data
        names = [name for name, value in changes.items() if name not in data or data[name] != value]
        evidence = [name for name in EVIDENCE if data.get(name)]
        if evidence and set(names) & {"response", "steps", "split", "final", "correct"}:
            self._drop(record, evidence)
        for name in names:
            record.set(name, changes[name])
        self._identify(record)
        if schema.VERSION_KEY not in data:
            record.set(schema.VERSION_KEY, schema.VERSION)
        if "steps" in data:
            self._cut += 1
        else:
            self._bare += 1
        return [record]

    def _drop(self, record: Record, evidence: list[str]) -> None:
        if not self.force:
            raise DataError(
                "belongs to the steps or the verdict as they were; --force drops it", evidence[0]
            )
        for name in evidence:
            record.drop(name)
            self._dropped[name] += 1

    def _identify(self, record: Record) -> None:
        """Give the record the id and group that it lacks."""
        group, name = schema.group_of(record.data), schema.id_of(record.data)
        if record.data.get("id") is None:
            self._ids[int(name, 16)] += 1
            again = self._ids[int(name, 16)]
            record.set("id", f"{name}/{again}" if again > 1 else name)
        if record.data.get("group") is None:
            record.set("group", group)


def _reference(data: dict[str, Any]) -> str:
    """The reference answer: ``answer`` (a number counts as its text), else that of ``solution``."""
    from stepkit.text.answers import extract

    answer = schema.answer_of(data)
    if answer is not None:
        return answer
    if data.get("solution") is None:
        return schema.text(data, "answer")
    found = extract(schema.text(data, "solution"))
    if found is None:
        raise DataError('no final answer in it; put it in "answer"', "solution")
    return found


def _ended(data: dict[str, Any]) -> bool:
    """Whether the attempt came to its own end; one that was cut off has no final answer."""
    sample = data.get("sample")
    return not isinstance(sample, dict) or sample.get("finish", "stop") == "stop"


def _caught(function: Any, *arguments: Any) -> Any:
    """What the function returns, or the DataError that it raises."""
    try:
        return function(*arguments)
    except DataError as error:
        return error
