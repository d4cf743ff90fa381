"""How large an input is, before it is worked on."""

from __future__ import annotations

import gzip
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepkit.io.jsonl import Record
from stepkit.runner.console import Progress
from stepkit.runner.input_survey import InputSurvey
from stepkit.runner.settings import StreamOptions

LINES = b"".join(b'{"problem":"p%d","k":%d}\n\n' % (n, n) for n in range(10))


def surveyed(path: Path, **options: Any) -> InputSurvey:
    watched = Progress("step-rollout", logged=True)
    streams = replace(StreamOptions("c", files=(str(path),), progress=watched), **options)
    survey = InputSurvey(streams, draws_of)
    end = time.monotonic() + 10
    while survey.records is None and time.monotonic() < end:
        time.sleep(0.01)
    return survey


def draws_of(record: Record) -> int | None:
    return record.data.get("k")


@pytest.mark.parametrize("packed", [False, True])
def test_records_and_draws_are_counted(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "in"
    path.write_bytes(gzip.compress(LINES) if packed else LINES)
    survey = surveyed(path)
    assert (survey.records, survey.draws) == (10, 45)
    survey = surveyed(path, limit=3)
    assert (survey.records, survey.draws) == (3, 3)
    parts = [surveyed(path, shard=(part, 3)) for part in (1, 2, 3)]
    assert sum(part.records or 0 for part in parts) == 10
    assert sum(part.draws or 0 for part in parts) == 45


def test_one_record_that_is_not_known_makes_the_sum_unknown(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(LINES + b'{"problem":"?"}\n')
    survey = surveyed(path)
    assert (survey.records, survey.draws) == (11, None)


def test_nobody_counts_where_nobody_looks(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(LINES)
    survey = InputSurvey(StreamOptions("c", files=(str(path),)), draws_of)
    time.sleep(0.2)
    assert survey.records is None
