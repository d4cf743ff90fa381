"""step-rollout --to-batch and --from-batch: draws by the batch files of a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from stepkit.errors import UsageError
from stepkit.runner.options import F, stack


def batch_options(function: F) -> F:
    """--to-batch, --from-batch."""
    return stack(
        function,
        click.option(
            "--to-batch",
            metavar="FILE",
            type=click.Path(),
            help="Write batch requests for the draws that the journal lacks, and make none.",
        ),
        click.option(
            "--from-batch",
            metavar="FILE",
            type=click.Path(),
            help="Take the draws from the results of such requests.",
        ),
        group="Servers",
    )


@dataclass(frozen=True)
class BatchOptions:
    """The batch file that takes the place of a model; at most one of the two is given.

    Attributes:
        requests: the file to write requests to.
        results: the file with the results.
    """

    requests: str | None = None
    results: str | None = None

    @property
    def given(self) -> bool:
        """Whether a batch file takes the place of a model."""
        return self.requests is not None or self.results is not None


def parse_batch_options(given: dict[str, Any]) -> BatchOptions:
    """Take the options of this module out of ``given``. Raises UsageError for both at once."""
    options = BatchOptions(given.pop("to_batch"), given.pop("from_batch"))
    if options.requests is not None and options.results is not None:
        raise UsageError("--to-batch and --from-batch are two steps: give one of them")
    return options
