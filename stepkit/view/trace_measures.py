"""The numbers of a trace by name: its labels, its scores and, without labels, its counted draws.

A measure is named by where it stands, ``labels.NAME`` or ``scores.NAME``; DRAWS is the value
counted from the tree, for evidence that nobody has labelled yet. Nothing is imputed: a number, a
count or an interval that the record does not have stays null. Only Wilson's interval is worked out
here, for counts whose label wrote none and does not say why. An interval that is not of
the number itself (``meta.interval`` says of what) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import erf, sqrt

from stepkit import schema
from stepkit.core import columns, stats
from stepkit.errors import DataError
from stepkit.schema import Json

DRAWS = "draws"
LEAVES = "leaves"
"""Of a search tree without a trace: the share of right attempts that ended at a step or below."""
BOUNDS = ("low", "high")
COLUMNS = ("k", "n", "undecided", *BOUNDS)
OF_NUMBER = "x"
"""What ``meta.interval`` says an interval is of, where it is the label's own number."""
PREFERRED = ("labels.value", LEAVES, DRAWS, "labels.hard", "labels.soft", "labels.progress")
GOLD = "labels.gold"


def read_measures(record: Json, count: int) -> dict[str, Json]:
    """Every entry of ``labels`` and ``scores`` of a trace of ``count`` steps, checked, in order.

    Each has ``of``, ``by``, and as far as the record has them ``x``, COLUMNS, ``why`` (one per
    step), ``root``, ``first``, ``total``, ``meta``; ``settled`` is true where the last value is the
    attempt's own verdict (one, decided or not: nothing is drawn after it). An interval has its
    ``method``, if that is not Wilson's, and its ``level`` in percent, if its label chose one.
    """
    return {
        column.field: read_measure(column.entry, count, column.field)
        for column in columns.all_columns(record)
    }


def read_measure(entry: Json, count: int, field: str) -> Json:
    """One entry, checked. Raises DataError naming what is below ``field``."""
    made: Json = {key: entry[key] for key in ("of", "by") if isinstance(entry.get(key), str)}
    for name in ("x", *COLUMNS):
        if entry.get(name) is not None:
            made[name] = columns.numbers(entry[name], count, f"{field}.{name}")
    if isinstance(entry.get("root"), dict):
        root = entry["root"]
        made["root"] = {
            name: root[name] for name in ("x", *COLUMNS) if schema.is_number(root.get(name))
        }
    if "first" in entry:
        made["first"] = columns.first_of(entry, count, field)
    if schema.is_number(entry.get("total")):
        made["total"] = entry["total"]
    if isinstance(entry.get("why"), list):
        made["why"] = [str(why) if why is not None else None for why in entry["why"][:count]]
    meta = entry["meta"] if isinstance(entry.get("meta"), dict) else {}
    about = str(meta.get("interval", ""))
    _keep_own_interval(made, about)
    if "low" in made and schema.is_number(meta.get("z")):
        made["level"] = round(100 * erf(meta["z"] / sqrt(2)), 1)
    if "k" in made and "n" in made:
        made["settled"] = count > 0 and _at_end(made) == 1
        counted = "backup" not in meta and (not about or _is_share(made))
        if counted and not {*BOUNDS} & set(made):
            _add_intervals(made)
    return made


def _keep_own_interval(made: Json, about: str) -> None:
    """Keep bounds of ``x``, with the ``method`` they were made by, and drop those of something
    else."""
    of, _, method = about.partition(": ")
    if of == OF_NUMBER:
        made["method"] = method.partition(";")[0]
    elif method:
        for numbers in (made, made.get("root", {})):
            for bound in BOUNDS:
                numbers.pop(bound, None)


def _is_share(made: Json) -> bool:
    """Is every number the share k / n, whatever the label says of its interval?"""
    columns = zip(made.get("x", []), made["k"], made["n"], strict=False)
    return all(not n or k is None or x == k / n for x, k, n in columns)


def _at_end(made: Json) -> float:
    """Draws and verdicts at the last step."""
    undecided = made["undecided"][-1] if "undecided" in made else 0
    return (made["n"][-1] or 0) + (undecided or 0)


def _add_intervals(made: Json) -> None:
    """Wilson's, where k of n has one; a verdict has no width and gets none."""
    pairs = list(zip(made["k"], made["n"], strict=True))
    ends = [_interval(k, n) for k, n in pairs]
    if made["settled"]:
        ends[-1] = (None, None)
    made["low"], made["high"] = [low for low, _ in ends], [high for _, high in ends]
    root = made.get("root")
    if root and "k" in root and "n" in root:
        low, high = _interval(root["k"], root["n"])
        if low is not None:
            root["low"], root["high"] = low, high


def _interval(k: float | None, n: int | None) -> tuple[float | None, float | None]:
    if k is None or not n or not 0 <= k <= n:
        return None, None
    return stats.wilson(k, n)


def has_counts(found: dict[str, Json]) -> bool:
    """True when a measure already has k of n, so that the tree need not be counted again."""
    return any("k" in measure for measure in found.values())


def choose_measure(found: dict[str, Json], named: str | None) -> str | None:
    """The measure to colour by: ``named``, else the most informative one that has numbers.

    A name of the other kind will do, where there is none of the kind that was named.

    Raises DataError when it is not there or has no numbers.
    """
    numbered = [name for name, measure in found.items() if "x" in measure]
    if named is None:
        return preferred(numbered)
    if named not in numbered:
        key, _, name = named.partition(".")
        other = f"{'scores' if key == 'labels' else 'labels'}.{name}"
        if other in numbered:
            return other
        have = ", ".join(_names(numbered, key)) or "none"
        raise DataError(f"no numbers of that name; {key} here: {have}", named)
    return named


def preferred(names: Sequence[str]) -> str | None:
    """The most informative of ``names``: values before other labels, labels before scores."""
    for name in (*PREFERRED, *(name for name in names if name != GOLD), *names):
        if name in names:
            return name
    return None


def _names(names: Iterable[str], key: str) -> list[str]:
    return [name.partition(".")[2] for name in names if name.startswith(f"{key}.")]


def first_errors(found: dict[str, Json]) -> dict[str, int | None]:
    """The first wrong step by each measure: -1 for none, None for unknown."""
    return {name: measure["first"] for name, measure in found.items() if "first" in measure}
