"""Cutting and grading records for step-split: what is cut, what it changes, what it must not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from stepkit import schema
from stepkit.cli.options.answer_reading import UnansweredCount, take_answer
from stepkit.errors import DataError
from stepkit.runner.run import Result
from stepkit.text.segment_rules import NEED_TOKENS

if TYPE_CHECKING:
    from stepkit.grade import Grader
    from stepkit.io.jsonl import Record
    from stepkit.text.answers import AnswerReader, FoundAnswer
    from stepkit.text.verdicts import Verdict

RESPONSES = ("response", "completion", "output", "generation")
"""Fields that may hold the text, in the order in which they are looked for."""

EVIDENCE = ("tree", "labels", "scores", "role")
"""What belongs to the steps as they were, or to the verdict on them."""


BLANK_LINE = "\n\n"


class ResponseText(NamedTuple):
    """Where the text to cut is: its field, that of a thinking kept apart, the score with tokens;
    and the field of the problem."""

    field: str | None
    thinking: str | None = None
    score: str | None = None
    problem: str | None = None

    def key(self, data: dict[str, Any]) -> str | None:
        """The field to cut; None for a bare problem."""
        if self.field:
            if self.field not in data and not any(key in data for key in schema.PROBLEM_FIELDS):
                schema.text(data, self.field)  # says which fields there are
            return self.field if data.get(self.field) is not None else None
        return next((name for name in RESPONSES if data.get(name) is not None), None)

    def given(self, data: dict[str, Any]) -> list[str] | None:
        """The steps that stand in place of a text, joinable; None where there is a text or nothing.

        Raises DataError for steps that are no texts.
        """
        name = self.field or "steps"
        found = None if _are_messages(data.get(name)) else data.get(name)
        if not found or not (isinstance(found, list) if self.field else self.key(data) is None):
            return None
        if self.thinking and data.get(self.thinking) is not None:
            raise DataError("no thinking can come before steps that are given", self.thinking)
        return joinable(found, name)

    def of(self, data: dict[str, Any], key: str) -> str:
        """The whole text: the thinking that came apart, if any, and the field ``key``."""
        text = _message_text(data[key], key) if _are_messages(data[key]) else schema.text(data, key)
        thought = schema.optional_text(data, self.thinking) if self.thinking else None
        if thought is None:
            return text
        from stepkit.text.protected_parts import with_thinking

        return with_thinking(thought, text)


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _message_text(messages: list[dict[str, Any]], name: str) -> str:
    """The text of a chat's one answer, as TRL's conversational rows have it. Raises DataError for
    a chat with several turns."""
    if len(messages) != 1 or messages[0].get("role", "assistant") != "assistant":
        raise DataError("expected one message of the assistant; --by turn is for steps", name)
    content = messages[0].get("content")
    if not isinstance(content, str):
        raise DataError(f"expected a string, got {schema.name_of(content)}", f"{name}[0].content")
    return content


def joinable(steps: Any, name: str) -> list[str]:
    """The steps as a response has them: a blank line after each that ends in no line break, but
    the last. Raises DataError below the field ``name``."""
    if not isinstance(steps, list):
        raise DataError(f"expected a list, got {schema.name_of(steps)}", name)
    for index, step in enumerate(steps):
        if not isinstance(step, str):
            raise DataError(f"expected a string, got {schema.name_of(step)}", f"{name}[{index}]")
    ended = [step if step.endswith("\n") else step + BLANK_LINE for step in steps[:-1]]
    return [*ended, *steps[-1:]]


class AnswerSource(NamedTuple):
    """How the answer is found in a response, and the field of the reference answer."""

    read: AnswerReader
    field: str | None = None


class Splitter:
    """Cuts records by one rule, and counts what people should know of.

    Args:
        kept: the rule that is written where steps are given and kept.
    """

    def __init__(
        self, rule: dict[str, Any], text: ResponseText, force: bool, kept: dict[str, Any]
    ) -> None:
        self.rule, self.text, self.force, self.kept = rule, text, force, kept
        self.grader: Grader | None = None
        self.answers: AnswerSource | None = None
        self.unanswered = UnansweredCount()
        self.explain: Callable[[str], None] = lambda _: None
        self._ids: Counter[int] = Counter()
        self._dropped: Counter[str] = Counter()
        self._derived: Counter[str] = Counter()
        self._bare = self._cut = self._by_marker = self._unmarked = 0

    def notes(self) -> list[str]:
        """One line each on what was dropped and on an input without any response."""
        dropped = [f"{count} {name}" for name, count in self._dropped.items()]
        notes = (
            [f"dropped evidence for steps that changed: {', '.join(dropped)}"] if dropped else []
        )
        if self._derived:
            derived = [f"{count} {name}" for name, count in self._derived.items()]
            notes.append(f"dropped what came from another verdict: {', '.join(derived)}")
        if self._unmarked:
            notes.append(
                f'{self._unmarked} of {self._by_marker} responses have no marker such as "Step 1:" '
                "and stay one step"
            )
        if self._bare and not self._cut:
            names = f'"{self.text.field}"' if self.text.field else ", ".join((*RESPONSES, "steps"))
            notes.append(f"no record has a text to cut ({names}); --field names it")
        return notes

    def block(self, records: list[Record]) -> list[Result]:
        """One result a record; the answers of a block are graded together."""
        changes = [caught(self._changes, record) for record in records]
        if self.grader:
            self._grade(records, changes)
        return [
            change if isinstance(change, DataError) else caught(self._apply, record, change)
            for record, change in zip(records, changes, strict=True)
        ]

    def _changes(self, record: Record) -> dict[str, Any]:
        """The problem, the steps and what goes with them, by field."""
        _check_columns(record.data)
        named = self.text.problem
        if named is None:
            _check_problem(record.data)
            return self._steps(record.data)
        text = schema.text(record.data, named)
        if record.data.get("problem") not in (None, text):
            raise DataError(f'another text than "{named}" is there; rename one', "problem")
        return {"problem": text, **self._steps(record.data)}

    def _steps(self, data: dict[str, Any]) -> dict[str, Any]:
        from stepkit.text.segment import split

        given, key, rule = self.text.given(data), self.text.key(data), self.rule
        if given is not None:
            key, steps, rule = self.text.field or "steps", given, self.kept
            text = "".join(steps)
        elif key is None:
            if data.get("steps"):
                raise DataError(f'there are steps but no "{self.text.field}"', "response")
            return {"split": rule}
        else:
            text = self.text.of(data, key)
            steps = split(text, rule, self._tokens(data, text))
            self._look_for_marker(text)
        if data.get("response") not in (None, data[key], text):
            raise DataError(f'another text than "{key}" is there; rename one', "response")
        if data.get("steps") == steps and any(data.get(name) for name in EVIDENCE):
            # the rule that is there cut the evidence, too
            return {} if "response" in data else {"response": text}
        return {"response": text, "steps": steps, "split": rule}

    def _look_for_marker(self, text: str) -> None:
        from stepkit.text.segment import has_marker

        if self.rule["by"] == "marker":
            self._by_marker += 1
            self._unmarked += not has_marker(text)

    def _tokens(self, data: dict[str, Any], text: str) -> Any:
        """The tokens of ``text`` where the rule goes by them."""
        from stepkit.core.response_tokens import tokens_of

        if self.rule["by"] not in NEED_TOKENS:
            return None
        return tokens_of({**data, "response": text}, self.text.score)

    def _grade(self, records: list[Record], changes: list[dict[str, Any] | DataError]) -> None:
        """Add final and correct to the changes, or put the error in their place."""
        from stepkit.text.answers import FoundAnswer, find

        assert self.grader is not None
        read = self.answers.read if self.answers else find
        cut_off = FoundAnswer(None, "it was cut off")
        asked: list[_Question] = []
        for place, (record, change) in enumerate(zip(records, changes, strict=True)):
            if isinstance(change, DataError):
                continue
            response = change.get("response", record.data.get("response"))
            if response is None:
                continue
            reference = caught(self._reference, record)
            if isinstance(reference, DataError):
                changes[place] = reference
                continue
            found = read(response) if _ended(record.data) else cut_off
            asked.append(_Question(record, change, reference, found))
        verdicts = self.grader.judge(
            (one.reference, one.found.answer, _problem(one)) for one in asked
        )
        for one, verdict in zip(asked, verdicts, strict=True):
            one.change.update(final=one.found.answer, correct=verdict.same)
            name = _name(one)
            self.unanswered.add(name, one.found.answer is not None)
            self.explain(_explained(name, one, verdict))

    def _reference(self, record: Record) -> str:
        take_answer(record, self.answers.field if self.answers else None)
        return _reference(record.data)

    def _apply(self, record: Record, changes: dict[str, Any]) -> list[Record]:
        """Write into the record what differs from what it holds."""
        data = record.data
        names = [name for name, value in changes.items() if name not in data or data[name] != value]
        evidence = [name for name in EVIDENCE if data.get(name)]
        if evidence and set(names) & self._cut_fields(data):
            self._drop(record, evidence)
        elif evidence and "correct" in names and data.get("correct") is not None:
            self._drop_derived(record)
        if {"response", "final", "correct"} & set(names):
            self._drop_judged(record)
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

    def _cut_fields(self, data: dict[str, Any]) -> set[str]:
        """What evidence belongs to; steps that come alone stay those that were labelled."""
        alone = self.text.field is None and self.text.given(data) is not None
        return set() if alone else {"response", "steps", "split"}

    def _drop_derived(self, record: Record) -> None:
        """Drop what was derived from a verdict that is another now. What people, a scorer or a
        benchmark say of the steps does not depend on it and stays."""
        if record.data.get("tree") and not self.force:
            raise DataError(
                "has the old verdict in it; step-rollout --regrade judges the draws again, too, "
                "and --force drops it",
                "tree",
            )
        if record.data.get("tree"):
            record.drop("tree")
            self._dropped["tree"] += 1
        labels = record.data.get("labels") or {}
        derived = [
            name
            for name, entry in labels.items()
            if isinstance(entry, dict) and entry.get("by") == "sampler"
        ]
        for name in derived:
            self._derived[f"labels.{name}"] += 1
        kept = {name: entry for name, entry in labels.items() if name not in derived}
        if derived and kept:
            record.set("labels", kept)
        elif derived:
            record.drop("labels")

    def _drop_judged(self, record: Record) -> None:
        """Drop a judge's verdict on an answer that is another now, or that is decided now."""
        verdicts = record.data.get("verdicts")
        if not isinstance(verdicts, dict):
            return
        from stepkit.cli.actions.record_fields import with_fields
        from stepkit.search.record_tree import without_judged

        kept = without_judged(verdicts)
        for name in verdicts.keys() - kept.keys():
            self._derived[f"verdicts.{name}"] += 1
        if len(kept) < len(verdicts):
            with_fields(record, {"verdicts": kept})

    def _drop(self, record: Record, evidence: list[str]) -> None:
        if not self.force:
            raise DataError("belongs to the steps as they were; --force drops it", evidence[0])
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


class _Question(NamedTuple):
    """A record whose response is graded, the changes to it, and what was found in it."""

    record: Record
    change: dict[str, Any]
    reference: str
    found: FoundAnswer


def _problem(one: _Question) -> str:
    return schema.problem_or_nothing({**one.record.data, **one.change})


def _name(one: _Question) -> str:
    data = one.record.data
    return str(data["id"]) if data.get("id") is not None else one.record.place


def _explained(name: str, one: _Question, verdict: Verdict) -> str:
    """One line on why a verdict fell as it did."""
    word = {True: "right", False: "wrong", None: "undecided"}[verdict.same]
    answer, where = one.found
    if answer is None:
        return f"{name}: undecided: {where}"
    return f"{name}: {word}: {answer!r} ({where}) for {one.reference[-60:]!r}: {verdict.reason}"


def _check_columns(data: dict[str, Any]) -> None:
    """Raise DataError for labels or scores that are no columns with names."""
    for name in ("labels", "scores"):
        value = data.get(name)
        if value is not None and not isinstance(value, dict):
            raise DataError(
                f"expected an object of named columns, got {schema.name_of(value)}; rename it, "
                f"as in jq '.step_{name} = .{name} | del(.{name})'",
                name,
            )


def _check_problem(data: dict[str, Any]) -> None:
    """Raise DataError where an id or a group has to be made and there is no problem."""
    needed = data.get("id") is None or data.get("group") is None
    if needed and not any(key in data for key in schema.PROBLEM_FIELDS):
        fields = ", ".join(sorted(data)) or "none"
        raise DataError(f'no field "problem"; fields are {fields}; --problem names it')


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


def caught(function: Any, *arguments: Any) -> Any:
    """What the function returns, or the DataError that it raises."""
    try:
        return function(*arguments)
    except DataError as error:
        return error
