"""The record: field names, the values they must hold, and one-line errors when they do not.

One JSON object a line; the unit is a *trace*, one attempt at one problem (man step-split, RECORD
FORMAT). The checks here look only at the fields that stepkit reads; everything else is the user's
and passes through untouched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import lt
from typing import Any

from stepkit.errors import DataError
from stepkit.seeds import digest

VERSION = 1
VERSION_KEY = "stepkit"

FINISHES = ("", "stop", "length", "error")
ROOT = 0
NO_PARENT = -1
UNDRAWN = -1

TREE_COLUMNS = (
    "parent",
    "text",
    "whole",
    "finish",
    "outcome",
    "final",
    "by",
    "draw",
    "cut",
    "rule",
    "tokens",
    "logprob",
)
"""The equal-length columns of ``tree`` that stepkit writes, in file order."""

LABEL_KINDS = ("value", "progress", "validity", "confidence", "raw")

Json = dict[str, Any]

NoneType = type(None)

LOOSE_COLUMNS: Mapping[str, tuple[frozenset[type], str]] = {
    "final": (frozenset({str, NoneType}), "a string or null"),
    "cut": (frozenset({int}), "an integer"),
    "rule": (frozenset({str, NoneType}), "a string or null"),
    "tokens": (frozenset({int, NoneType}), "an integer or null"),
    "logprob": (frozenset({int, float, NoneType}), "a number or null"),
}
"""Columns of ``tree`` that may be missing: types of their entries, and their names in messages."""


def name_of(value: object) -> str:
    """JSON's name for a Python value's type, as error messages use it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names: dict[type, str] = {
        str: "a string",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)


def is_number(value: object) -> bool:
    """True for a JSON number (true and false are not numbers)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def text(record: Json, key: str) -> str:
    """The string at ``key``. Raises DataError when it is missing or of another type."""
    if key not in record:
        raise DataError(f'no field "{key}"; fields are {", ".join(sorted(record)) or "none"}')
    return _expect(record[key], str, "a string", key)


def optional_text(record: Json, key: str) -> str | None:
    """The string at ``key``, or None when missing or null."""
    value = record.get(key)
    return None if value is None else _expect(value, str, "a string", key)


PROBLEM_FIELDS = ("problem", "prompt", "question")
"""Fields that may hold the problem, in the order in which they are looked for."""


def problem_or_nothing(record: Json) -> str:
    """``problem_text``, or "" where there is none that can be read."""
    try:
        return problem_text(record)
    except DataError:
        return ""


def problem_text(record: Json) -> str:
    """The problem: ``problem``, else the last user message of a chat ``prompt``, else ``prompt``,
    else ``question``.

    Raises DataError when there is none.
    """
    if "problem" in record or "prompt" not in record:
        bare = "question" in record and "problem" not in record
        return text(record, "question" if bare else "problem")
    prompt = record["prompt"]
    if isinstance(prompt, str):
        return prompt
    messages = _expect(prompt, list, "a string or a list of messages", "prompt")
    last = last_user(messages)
    return _expect(messages[last].get("content"), str, "a string", f"prompt[{last}].content")


def last_user(messages: Sequence[Any]) -> int:
    """Index of the last user message of a chat ``prompt``. Raises DataError when there is none."""
    for index in reversed(range(len(messages))):
        message = _expect(messages[index], dict, "an object", f"prompt[{index}]")
        if message.get("role") == "user":
            return index
    raise DataError("no user message", "prompt")


def steps(record: Json) -> list[str]:
    """The steps of a trace, checked: a list of strings whose concatenation is ``response``.

    A bare problem (no ``response``) has none. Raises DataError when there is a response without
    steps, or when the two disagree.
    """
    response = record.get("response")
    if response is None:
        return []
    try:  # every trace is checked by every command, and nearly all are sound
        cut = record.get("steps")
        if type(cut) is list and "".join(cut) == response:
            return cut
    except TypeError:
        pass
    response = text(record, "response")
    if record.get("steps") is None:
        raise DataError('a response without "steps": pass it through step-split first')
    cut = _expect(record["steps"], list, "a list", "steps")
    for index, step in enumerate(cut):
        _expect(step, str, "a string", f"steps[{index}]")
    if "".join(cut) != response:
        raise DataError('the steps do not join to "response": run step-split again', "steps")
    return cut


def group_of(record: Json) -> str:
    """What siblings share: ``group``, else a hash of the problem."""
    group = record.get("group")
    if isinstance(group, str):
        return group
    if group is not None:
        raise DataError(f"expected a string, got {name_of(group)}", "group")
    return digest("problem", problem_text(record))


def id_of(record: Json) -> str:
    """The record's ``id`` (a number counts as its text), else a hash of problem and response."""
    value = record.get("id")
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None:
        raise DataError(f"expected a string, got {name_of(value)}", "id")
    return digest("trace", problem_text(record), record.get("response") or "")


def correct_of(record: Json) -> float | None:
    """The trace's own verdict as an outcome: 1.0, 0.0, or None when undecided or not graded."""
    value = record.get("correct")
    if value is None:
        return None
    if not isinstance(value, bool):
        raise DataError(f"expected true, false or null, got {name_of(value)}", "correct")
    return float(value)


def answer_of(record: Json) -> str | None:
    """The reference answer as text (a number counts as its text), or None when not known.

    Raises DataError for a number that a reader of JSON rounds: beyond 2**53, or of 17 digits.
    """
    value = record.get("answer")
    if isinstance(value, float):
        digits = repr(value).partition("e")[0].strip("-0.").replace(".", "")
        if abs(value) >= 2**53 or len(digits) >= 17:
            raise DataError("too long for a JSON number: write it as a string", "answer")
    if is_number(value):
        return str(value)
    return optional_text(record, "answer")


def check_version(record: Json) -> None:
    """Refuse a record that a newer stepkit wrote, by name. Raises DataError."""
    version = record.get(VERSION_KEY)
    if version is None:
        return
    if not isinstance(version, int) or isinstance(version, bool):
        raise DataError(f"expected a number, got {name_of(version)}", VERSION_KEY)
    if version > VERSION:
        raise DataError(
            f"schema version {version} is newer than this stepkit reads ({VERSION}); "
            "upgrade stepkit",
            VERSION_KEY,
        )


def check_tree(record: Json) -> Json | None:
    """The record's ``tree`` with its columns checked, or None when it has none.

    Checked: equal lengths, a root, parents before children, types, the spine and the samplers.
    Raises DataError naming the offending entry.
    """
    tree = record.get("tree")
    if tree is None:
        return None
    _expect(tree, dict, "an object", "tree")
    for name in ("parent", "text", "finish", "outcome", "by", "draw", "whole"):
        if name not in tree:
            raise DataError("missing", f"tree.{name}")
    if _is_sound(tree):
        return tree
    parent = _expect(tree["parent"], list, "a list", "tree.parent")
    for name in TREE_COLUMNS:
        if name not in tree:
            continue
        column = _expect(tree[name], list, "a list", f"tree.{name}")
        if len(column) != len(parent):
            raise DataError(
                f"{len(column)} entries, but tree.parent has {len(parent)}", f"tree.{name}"
            )
    _check_parents(parent)
    _check_entries(tree["text"], "text", lambda v: isinstance(v, str), "a string")
    _check_entries(tree["whole"], "whole", lambda v: isinstance(v, bool), "true or false")
    _check_entries(tree["finish"], "finish", lambda v: v in FINISHES, f"one of {FINISHES}")
    _check_entries(
        tree["outcome"], "outcome", lambda v: v is None or is_number(v), "a number or null"
    )
    samplers = _expect(tree.get("samplers", []), list, "a list", "tree.samplers")
    for index, sampler in enumerate(samplers):
        _expect(sampler, dict, "an object", f"tree.samplers[{index}]")
    count = len(samplers)
    _check_entries(
        tree["by"],
        "by",
        lambda v: type(v) is int and UNDRAWN <= v < count,
        f"a sampler's index (-1 .. {count - 1})",
    )
    _check_entries(
        tree["draw"], "draw", lambda v: type(v) is int and v >= UNDRAWN, "a number of a draw or -1"
    )
    for name, (types, expected) in LOOSE_COLUMNS.items():
        if name in tree:
            _check_entries(tree[name], name, lambda v, types=types: type(v) in types, expected)
    _check_spine(tree, parent)
    return tree


def _is_sound(tree: Json) -> bool:
    """True only when all checks below would pass, column by column in C; False decides nothing.

    Every tree is checked by every command, and nearly every tree is sound.
    """
    parent, samplers = tree["parent"], tree.get("samplers", [])
    columns = [tree[name] for name in TREE_COLUMNS if name in tree]
    if not all(type(column) is list for column in (*columns, samplers)):
        return False
    size = len(parent)
    if not size or parent[ROOT] != NO_PARENT or not all(len(column) == size for column in columns):
        return False
    integers = {int}
    if not (
        set(map(type, parent)) == integers
        and all(map(lt, parent, range(size)))
        and min(parent[1:], default=ROOT) >= ROOT
        and set(map(type, tree["text"])) == {str}
        and set(map(type, tree["whole"])) == {bool}
        and set(map(type, tree["finish"])) == {str}
        and set(tree["finish"]) <= set(FINISHES)
        and set(map(type, tree["outcome"])) <= {int, float, NoneType}
        and set(map(type, samplers)) <= {dict}
        and set(map(type, tree["by"])) == integers
        and set(map(type, tree["draw"])) == integers
        and min(tree["by"]) >= UNDRAWN
        and max(tree["by"]) < len(samplers)
        and min(tree["draw"]) >= UNDRAWN
        and all(set(map(type, tree[n])) <= t for n, (t, _) in LOOSE_COLUMNS.items() if n in tree)
    ):
        return False
    _check_spine(tree, parent)
    return True


def _check_parents(parent: Sequence[Any]) -> None:
    if not parent or parent[ROOT] != NO_PARENT:
        raise DataError("node 0 must be the root, with parent -1", "tree.parent[0]")
    for node in range(1, len(parent)):
        above = parent[node]
        if type(above) is not int or not 0 <= above < node:
            raise DataError(
                f"expected a node before it (0 .. {node - 1}), got {above!r}",
                f"tree.parent[{node}]",
            )


def _check_entries(column: Any, name: str, good: Any, expected: str) -> None:
    for node, value in enumerate(_expect(column, list, "a list", f"tree.{name}")):
        if not good(value):
            raise DataError(f"expected {expected}, got {name_of(value)}", f"tree.{name}[{node}]")


def _check_spine(tree: Json, parent: Sequence[int]) -> None:
    above = ROOT
    for step, node in enumerate(_expect(tree.get("spine", []), list, "a list", "tree.spine")):
        if type(node) is not int or not 0 < node < len(parent) or parent[node] != above:
            raise DataError(
                f"expected a child of node {above}, got {node!r}", f"tree.spine[{step}]"
            )
        above = node


def _expect(value: Any, kind: type, expected: str, field: str) -> Any:
    if not isinstance(value, kind):
        raise DataError(f"expected {expected}, got {name_of(value)}", field)
    return value
