"""Rows of step-eval as a table for people: in percent, each difference next to its measure."""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.core.evaluation.benchmark_scores import JUDGEMENTS
from stepkit.schema import Json

NAMES = {
    "pass": "one of {k} right",
    "best": "best of {k}",
    "majority": "majority of {k}",
    "weighted": "weighted vote of {k}",
    "log-weighted": "log-weighted vote of {k}",
    "auc_attempts": "AUC of attempts within problems",
    "auc_steps": "AUC of steps",
    "auc_position": "AUC of steps within positions",
    "auc_problem": "AUC of steps within problems",
    "auc_both": "AUC of steps within both",
    "brier": "Brier score",
    "skill": "Brier skill against the base rate",
    "ece": "calibration error (ECE)",
    "base_rate": "steps that are right",
    "f1": "F1",
    "acc_err": "first error found",
    "acc_cor": "correct attempts cleared",
    "prmscore": "PRMScore",
    "negative_f1": "F1 of wrong steps",
    "first_error_acc": "first error named",
    "step_acc": "step labels named",
    "exact_match": "all labels named",
}
BY_POSITION = "a score that knows only a step's position"
WHAT = ("file", "part")


def table(rows: Sequence[Json], intervals: bool) -> str:
    """The table, ending in a newline. Differences follow their measure, as in the rows."""
    heads = [row for row in rows if row["measure"] == "data"]
    lines = [_head(row) for row in heads]
    lines.append("percent, with 95 % intervals over problems" if intervals else "percent")
    against = list(dict.fromkeys(row["against"] for row in _shown(rows) if "against" in row))
    cells = [["", "", "", *(f"against {name}" for name in against)]]
    for row in _shown(rows):
        if "against" in row:
            cells[-1][3 + against.index(row["against"])] = _number(row, "+5.1f", "+.1f")
        else:
            cells.append(
                [_name(row), _number(row, "5.1f", ".1f"), _notes(row), *[""] * len(against)]
            )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    # the notes come last
    order = [0, 1, *range(3, 3 + len(against)), 2]
    for line in cells:
        made = "  ".join(line[i].ljust(widths[i]) for i in order).rstrip()
        lines.append(made)
    if not against:
        lines.remove("")
    return "\n".join(lines) + "\n"


def _shown(rows: Sequence[Json]) -> list[Json]:
    """Rows but of the data, and of other choices among one attempt where that is there itself."""
    single = any(row["measure"] == "pass" and row.get("k") == 1 for row in rows)
    return [
        row
        for row in rows
        if row["measure"] != "data"
        and not (single and row.get("k") == 1 and row["measure"] != "pass")
    ]


def _head(row: Json) -> str:
    few, most = row["fewest"], row["most"]
    each = f"{few}" if few == most else f"{few} to {most}"
    attempts = "attempt" if most == 1 else "attempts"
    where = _where(row)
    left = row.get("undecided", 0)
    counted = {"wrong": "counted as wrong", "apart": "left out"}.get(
        row.get("undecided_are", ""), ""
    )
    undecided = f"; {left} without a verdict, {counted}" if left else ""
    return f"{where}{row['problems']} problems, {each} {attempts} each{undecided}"


def _where(row: Json) -> str:
    named = [str(row[key]) for key in WHAT if key in row]
    return f"{', '.join(named)}: " if named else ""


def _name(row: Json) -> str:
    measure = str(row["measure"])
    if measure == "pass" and row["k"] == 1:
        name = "one attempt"
    else:
        name = NAMES.get(measure, measure).format(k=row.get("k"))
    by = [row[key] for key in ("score", "aggregate", "map", "label") if key in row]
    return f"{_where(row)}{name}{', by ' if by else ''}{' '.join(by)}"


def _number(row: Json, wide: str, narrow: str) -> str:
    text = format(_percent(row["value"]), wide)
    if "low" in row:
        low, high = (format(_percent(row[end]), narrow).rjust(len(text)) for end in ("low", "high"))
        text += f" [{low},{high}]"
    return text


def _percent(value: float) -> float:
    """In percent, as it is shown; no zero has a minus."""
    return round(100 * value, 1) + 0.0


def _notes(row: Json) -> str:
    parts = []
    if "baseline" in row:
        parts.append(f"{100 * row['baseline']:.1f} by {BY_POSITION}")
    if "error" in row:
        parts.append(f"+- {100 * row['error']:.2f} from sampled subsets")
    if "threshold" in row:
        parts.append(f"below {row['threshold']:.4g} is wrong")
    for key, what in JUDGEMENTS.items():
        if key in row:
            parts.append(f"{row[key]} {what}")
    if "mean_of_parts" in row:
        parts.append(f"mean of {row['mean_of_parts']} parts")
    if "bins" in row:
        parts.append(f"{row['bins']} bins of equal mass")
    if "tokens" in row:
        parts.append(f"{row['tokens']:.0f} tokens")
    return ", ".join(parts)
