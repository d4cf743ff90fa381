"""step-eval: all attempts are read, then reported, plotted, or a map is fitted on them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from math import inf, isfinite
from typing import TYPE_CHECKING

from stepkit import schema
from stepkit.cli.actions.calibration_maps import read_map
from stepkit.core.columns import column_path
from stepkit.core.evaluation import attempts
from stepkit.core.evaluation.attempts import AttemptFields, GoldSource, MeasuredAttempt
from stepkit.core.evaluation.benchmark_scores import JUDGEMENTS
from stepkit.core.evaluation.intervals import FEW
from stepkit.core.evaluation.measure_types import ReportOptions
from stepkit.core.evaluation.protocols import REDUNDANCY
from stepkit.core.evaluation.report import report
from stepkit.errors import DataError, UsageError
from stepkit.io.jsonl import Record, encode
from stepkit.runner.run import STANDARD, StreamOptions, blocks, each
from stepkit.schema import Json

if TYPE_CHECKING:
    from stepkit.core.evaluation.calibration_map import CalibrationMap


OTHER_PICTURES = (".png", ".pdf", ".jpg", ".jpeg", ".eps", ".html")


class CollectedAttempts:
    """Attempts, as far as they are measured.

    Args:
        wanted: with no scores named: all that the first record with a text has, unless a label
            judges.
        fitted: a map whose threshold is used: problems that it was fitted on are refused.
    """

    def __init__(self, wanted: AttemptFields, fitted: CalibrationMap | None = None) -> None:
        self.attempts: list[MeasuredAttempt] = []
        self._wanted = wanted
        self._fitted = fitted
        self._names_known = bool(wanted.scores) or wanted.judge is not None

    def take(self, record: Record) -> list[Record]:
        """Read one record; nothing is written for it."""
        if not self._names_known:
            scores = record.data.get("scores")
            names = {
                name: f"scores.{name}"
                for name in (scores if isinstance(scores, dict) else ())
                if self._wanted.redundancy not in (name, f"scores.{name}")
            }
            self._wanted = replace(self._wanted, scores=names)
        if self._fitted is not None:
            self._fitted.check(record.data)
        attempt = attempts.read_attempt(record.data, self._wanted, record.source, record.place)
        self.attempts.append(attempt)
        if not self._names_known and record.data["response"]:
            self._names_known = True
            for earlier in self.attempts[:-1]:  # empty texts, which no scorer has a number for
                earlier.scores = {
                    name: attempts.no_score(self._wanted, len(earlier.own))
                    for name in self._wanted.scores
                }
        return []


def measure(streams: StreamOptions, gold: GoldSource | None, given: Json) -> None:
    """Report on all attempts, as rows or as a table, and draw the curves."""
    threshold, fitted = _threshold(given)
    redundancy, above = _redundancy(given)
    options = ReportOptions(
        curves=given["curves"],
        ks=given["ks"],
        aggregates=given["aggregates"] or ("min",),
        maps=given["maps"],
        against=given["against"],
        undecided=given["undecided"],
        protocol=given["protocol"],
        threshold=threshold,
        redundancy=above,
        bins=given["bins"],
        intervals=not given["no_intervals"] and given["resamples"] != 0,
        seed=given["seed"],
        by_file=given["by_file"],
    )
    if given["label"] is not None and (given["scores"] or given["threshold"] is not None):
        other = "--score" if given["scores"] else "--threshold"
        raise UsageError(f"{other} has no effect with --label, which judges already")
    if options.protocol == "agentprocessbench" and given["threshold"] is not None:
        raise UsageError("--threshold has no effect with agentprocessbench: judgements are labels")
    scores = {name: name for name in given["scores"]}
    if fitted is not None:
        scores = scores or {fitted.name: column_path(fitted.name, "scores")}
    if fitted is not None and list(scores) != [fitted.name]:
        raise UsageError(f"--threshold: the map's threshold is one of {fitted.name}")
    collected = CollectedAttempts(
        AttemptFields(
            scores,
            options.aggregates,
            options.maps or (None,),
            given["label"],
            gold,
            options.protocol,
            given["part"],
            redundancy,
        ),
        fitted,
    )

    def finish() -> bytes:
        from stepkit.grade import same_answer

        if not collected.attempts:
            streams.warn("no records: nothing to measure")
            return b""
        if gold is not None and all(attempt.truth is None for attempt in collected.attempts):
            raise DataError(f"--gold: no attempt has {gold}")
        if note := _counted_as_wrong(collected.attempts, options):
            streams.note(note)  # the rows say it, too
        if beyond := [one for one in collected.attempts if one.beyond]:
            streams.warn(
                f"{len(beyond)} of {len(collected.attempts)} attempts name a wrong step beyond "
                f"their last one; it is passed over (the first: {beyond[0].place})"
            )
        rows = report(collected.attempts, options, same_answer)
        for note in _missing_judgements(rows):
            streams.note(note)  # the rows say it, too
        if given["plot"] is not None:
            _draw(streams, rows, given["plot"], given["over"])
        problems = max(row["problems"] for row in rows if row["measure"] == "data")
        if options.intervals and problems < FEW:
            streams.warn(f"the intervals are rough: problems {problems}, fewer than {FEW}")
        if _is_table(streams, given["as_table"]):
            from stepkit.view.report_table import table

            return table(rows, options.intervals).encode()
        return b"".join(encode(row | {schema.VERSION_KEY: schema.VERSION}) + b"\n" for row in rows)

    blocks(streams, each(collected.take), tail=finish)


def _counted_as_wrong(attempts: Sequence[MeasuredAttempt], options: ReportOptions) -> str:
    """One line on the attempts that have no verdict and count as wrong; "" where there are none."""
    undecided = [one for one in attempts if one.right is None]
    if options.protocol is not None or options.undecided != "wrong" or not undecided:
        return ""
    unanswered = sum(one.final is None for one in undecided)
    return (
        f"undecided attempts counted as wrong: {len(undecided)} of {len(attempts)}, "
        f"{unanswered} of them without an answer; --undecided apart leaves them out"
    )


def _missing_judgements(rows: Sequence[Json]) -> list[str]:
    """One line for each judge that does not judge everything."""
    found = {}
    for row in rows:
        if {"unjudged", "passed_over"} & row.keys() and not {"part", "against"} & row.keys():
            judge = row.get("label") or row["score"]
            where = f"{row['file']}: {judge}" if "file" in row else judge
            counts = [f"{row[key]} {what}" for key, what in JUDGEMENTS.items() if key in row]
            found[where] = f"{where}: {', '.join(counts)}"
    return list(found.values())


def fit(
    streams: StreamOptions, method: str, scores: tuple[str, ...], gold: GoldSource | None
) -> None:
    """Fit a map on all attempts and write it."""
    from stepkit.core.evaluation.calibration_map import fit_map

    if len(scores) > 1:
        raise UsageError("--fit takes one --score")
    fields = AttemptFields({name: name for name in scores}, aggregates=(), gold=gold)
    collected = CollectedAttempts(fields)

    def finish() -> bytes:
        if not collected.attempts:
            raise DataError("no records: nothing to fit on")
        names = list(collected.attempts[0].scores)
        if len(names) != 1:
            have = ", ".join(names) or "none"
            raise DataError(f"scores here: {have}; choose one with --score NAME", "scores")
        return (
            encode(fit_map(collected.attempts, method, names[0], str(gold or GoldSource()))) + b"\n"
        )

    blocks(streams, each(collected.take), tail=finish)


def _threshold(given: Json) -> tuple[float | None, CalibrationMap | None]:
    """A number as it is, or the threshold in a map and the map."""
    text = given["threshold"]
    if text is None:
        return None, None
    try:
        number = float(text)
    except ValueError:
        fitted = read_map(text)
        if fitted.threshold is None:
            raise UsageError(f"--threshold {text}: the map has no threshold") from None
        return fitted.threshold, fitted
    if number - number != 0:
        raise UsageError(f"--threshold {text}: expected a number or a map")
    return number, None


def _redundancy(given: Json) -> tuple[str | None, float]:
    """The name of a redundancy score, and the threshold above which a step is redundant."""
    text = given["redundancy"]
    if text is None:
        return None, REDUNDANCY
    for wrong, why in (
        (given["protocol"] != "prmbench", "without --protocol prmbench"),
        (given["label"] is not None, "with --label, which judges already"),
    ):
        if wrong:
            raise UsageError(f"--redundancy has no effect {why}")
    name, colon, above = text.partition(":")
    try:
        limit = float(above) if colon else REDUNDANCY
    except ValueError:
        limit = inf
    if not name or not isfinite(limit):
        raise UsageError(f'--redundancy {text}: expected NAME or NAME:T, as in "redundancy:0.15"')
    return name, limit


def _is_table(streams: StreamOptions, asked: bool | None) -> bool:
    if asked is not None:
        return asked
    return streams.output == STANDARD and sys.stdout is not None and sys.stdout.isatty()


def _draw(streams: StreamOptions, rows: list[Json], path: str, over: str) -> None:
    from stepkit.io.sink import Sink
    from stepkit.view.curve_svg import chart, curves_of

    if path.lower().endswith(OTHER_PICTURES):
        raise UsageError(f"--plot {path}: it writes SVG: expected a name like curves.svg")
    curves = curves_of(rows, over)
    if not curves:
        what = "no curve" if over == "k" else "no curve whose tokens are all known"
        raise UsageError(f"--plot: {what} to draw")
    with Sink(path, streams.files) as sink:
        sink.write(chart(curves, over).encode())
