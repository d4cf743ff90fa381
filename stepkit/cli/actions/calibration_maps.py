"""Calibration maps as files: read, and applied to records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepkit.cli.actions.record_fields import with_version
from stepkit.errors import DataError, UsageError, reason
from stepkit.runner.run import StreamOptions, blocks, each

if TYPE_CHECKING:
    from stepkit.core.evaluation.calibration_map import CalibrationMap
    from stepkit.io.jsonl import Record


def read_map(path: str) -> CalibrationMap:
    """The map in a file that step-eval --fit wrote. Raises UsageError."""
    from stepkit.core.evaluation.calibration_map import parse_map
    from stepkit.io.jsonl import decode

    try:
        with open(path, "rb") as file:
            return parse_map(decode(file.read()))
    except OSError as error:
        raise UsageError(f"{path}: {reason(error)}") from None
    except DataError as error:
        error.place = f"{path}:1{error.place}" if error.place else path
        raise UsageError(str(error)) from None


def apply_map(streams: StreamOptions, fitted: CalibrationMap) -> None:
    """Write every record with the score that the map makes."""
    if fitted.method == "threshold":
        raise UsageError(
            f"--apply: the map has a threshold only, {fitted.threshold:g}, and leaves the scores "
            "as they are: use --threshold"
        )

    def mapped(record: Record) -> list[Record]:
        record.merge("scores", {fitted.name: fitted.applied(record.data)})
        return [with_version(record)]

    blocks(streams, each(mapped))
