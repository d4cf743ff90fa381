"""One trace to look at: its texts, its numbers by name, and the evidence for each step.

Plain values, the same for the page and the terminal. ``summary`` is what a list of thousands needs
of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stepkit import schema
from stepkit.core import labels, trace
from stepkit.core.pairs.record_prefixes import RecordPrefixes
from stepkit.errors import DataError
from stepkit.schema import Json
from stepkit.view import step_evidence, trace_measures
from stepkit.view.outcome_counts import OutcomeCounts
from stepkit.view.search_tree import SearchSummary

SNIPPET = 160
"""Characters of the problem in a list."""
SOLUTION = re.compile(r"\n|####|\\boxed")
"""What a reference that is a whole solution has, and a mere answer has not."""
COUNTED = labels.parse_all(("value",))


@dataclass(frozen=True)
class ViewOptions:
    """The choices of the viewer.

    Attributes:
        measure: ``labels.NAME`` or ``scores.NAME`` to colour by; None: what is there.
        sampler: whose draws count, where several samplers drew.
    """

    measure: str | None = None
    sampler: str | None = None


def cases(
    records: Sequence[Json], places: Sequence[str], options: ViewOptions
) -> list[Json | DataError]:
    """The cases of a block, each or the error of its record.

    Args:
        places: where each record was read, ``file:line``.
    """
    made: list[Json | DataError] = []
    uncounted: list[int] = []
    for index, (record, place) in enumerate(zip(records, places, strict=True)):
        try:
            case = _case(record, place, options)
        except DataError as error:
            made.append(error.with_traceback(None))
            continue
        if "states" in case and case["steps"] and not trace_measures.has_counts(case["measures"]):
            uncounted.append(index)
        made.append(case)
    _count(records, uncounted, made, options)
    for index, counted in enumerate(made):
        if not isinstance(counted, DataError):
            try:
                _set_measure(counted, options)
            except DataError as error:
                made[index] = error.with_traceback(None)
    return made


def _set_measure(case: Json, options: ViewOptions) -> None:
    # a problem without an attempt has no steps to colour, whatever measure is named
    named = options.measure if case["steps"] else None
    if "searched" in case and named not in case["measures"]:
        named = None
    case["measure"] = trace_measures.choose_measure(case["measures"], named)


def _count(
    records: Sequence[Json], wanted: list[int], made: list[Json | DataError], options: ViewOptions
) -> None:
    """Give cases without counted labels the value that step-label would write."""
    settings = labels.LabelSettings(COUNTED, sampler=options.sampler)
    for index, found in zip(
        wanted, labels.label([records[index] for index in wanted], settings), strict=True
    ):
        case = made[index]
        # of draws that a rule stopped there may be no unbiased value: then there is none to show
        if not isinstance(found, DataError) and not isinstance(case, DataError):
            field = trace_measures.DRAWS
            entry = trace_measures.read_measure(found["value"], len(case["steps"]), field)
            case["measures"][field] = entry


def _case(record: Json, place: str, options: ViewOptions) -> Json:
    steps = schema.steps(record)
    found = trace_measures.read_measures(record, len(steps))
    case: Json = {
        "id": schema.id_of(record),
        "group": schema.group_of(record),
        "place": place,
        "problem": schema.problem_text(record),
        **_reference(record),
        "final": schema.optional_text(record, "final"),
        "correct": schema.correct_of(record),
        "steps": steps,
        "mine": trace.assistant_steps(record, len(steps)),
        "measures": found,
        "facts": _facts(record),
    }
    if record.get("role") is not None:
        case["role"] = [str(role) for role in record["role"]]
    if record.get("tree") is not None:
        read = RecordPrefixes(record, options.sampler)
        search = None if record.get("response") is not None else _searched(case, read)
        rest = search.rest if search else []
        case["states"] = [*step_evidence.states(read), *({"draws": []} for _ in rest)]
        case["siblings"] = step_evidence.candidates(
            read, search.ends if search else None, rest[0] if rest else None
        )
        case["siblings"] += [[] for _ in rest[1:]]
        if read.sampler != schema.UNDRAWN:
            case["facts"]["draws by"] = _named(read.tree["samplers"][read.sampler])
    return case


def _reference(record: Json) -> Json:
    """The reference answer, and the whole solution that it is the end of, or null.

    A solution may stand in place of the answer, as in GSM8K, or beside it, as in MATH.
    """
    answer = schema.answer_of(record)
    solution = record.get("solution")
    if answer is not None and (len(answer) > SNIPPET or SOLUTION.search(answer.strip())):
        from stepkit.text import answers  # here: its patterns take a while to compile

        short = answers.reference(answer)
        if short != answer.strip() and len(short) <= SNIPPET:
            return {"answer": short, "solution": answer}
    return {"answer": answer, "solution": solution if isinstance(solution, str) else None}


def _searched(case: Json, read: RecordPrefixes) -> SearchSummary | None:
    """Fill in the best path of a search tree that is no trace yet.

    None for a tree without steps: of that there are only draws.
    """
    if not read.steps_at:
        return None
    search = SearchSummary(read, step_evidence.visits(read))
    tree, ends = read.tree, search.ends.get(schema.ROOT, OutcomeCounts())
    case["steps"] = search.steps
    case["mine"] = [True] * len(search.steps)
    case["measures"] |= search.measures()
    case["correct"] = tree["outcome"][search.last]
    case["final"] = (tree.get("final") or {search.last: None})[search.last]
    case["searched"] = tree["finish"][search.last] or "open"
    case["facts"]["shown"] = f"the best path of {ends.n + ends.undecided} attempts in its tree"
    return search


def _facts(record: Json) -> dict[str, str]:
    """Where the attempt comes from, in words, as far as the record has it."""
    facts = {}
    sample = record.get("sample")
    if isinstance(sample, dict):
        if isinstance(sample.get("sampler"), dict):
            facts["attempt by"] = _named(sample["sampler"])
        if sample.get("finish") in ("length", "error"):
            facts["ended"] = {"length": "cut off", "error": "failed"}[sample["finish"]]
        if schema.is_number(sample.get("tokens")):
            facts["tokens"] = str(sample["tokens"])
    split = record.get("split")
    if isinstance(split, dict):
        facts["steps by"] = _listed(split)
    choice = record.get("choice")
    if isinstance(choice, dict):
        facts["choice"] = _listed(choice)
    origin = record.get("origin")
    if isinstance(origin, dict):
        facts["refined from"] = _listed(origin)
    return facts


def _named(sampler: Json) -> str:
    name = str(sampler.get("name") or sampler.get("id") or "a sampler")
    heat = sampler.get("temperature")
    return f"{name}, temperature {heat:g}" if schema.is_number(heat) else name


def _listed(fields: Json) -> str:
    """Plain fields as words: ``lines``, or ``regex, pattern x``."""
    plain = {key: value for key, value in fields.items() if isinstance(value, (str, int, float))}
    words = [str(plain.pop("by"))] if "by" in plain else []
    return ", ".join([*words, *(f"{key} {value}" for key, value in plain.items())])


def summary(case: Json) -> Json:
    """The fields of a case that a list shows and filters by."""
    return {
        "id": case["id"],
        "group": case["group"],
        "problem": " ".join(case["problem"][: 2 * SNIPPET].split())[:SNIPPET],
        "final": None if case["final"] is None else case["final"][:SNIPPET],
        "correct": case["correct"],
        "steps": len(case["steps"]),
        "x": {
            name: [None if x is None else float(f"{x:.3g}") for x in measure["x"]]
            for name, measure in case["measures"].items()
            if "x" in measure
        },
        "of": {name: measure.get("of", "") for name, measure in case["measures"].items()},
        "first": trace_measures.first_errors(case["measures"]),
        "measure": case["measure"],
    }
