"""Where draws come from: a model that runs here, servers, or batch files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stepkit.errors import UsageError
from stepkit.runner import options, run

if TYPE_CHECKING:
    from stepkit.cli.actions.run_batch_files import TakeBatchResults, WriteBatchRequests
    from stepkit.model.backend import Backend, PromptForm


def uses_batches(function: options.F) -> options.F:
    """--to-batch, --from-batch."""
    return options.stack(
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
    )


def check(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    server: options.ServerOptions,
    to_batch: str | None,
    from_batch: str | None,
) -> None:
    """Refuse what does not say, in one way, where the draws come from. Raises UsageError."""
    if to_batch is not None and from_batch is not None:
        raise UsageError("--to-batch and --from-batch are two steps: give one of them")
    if to_batch is None and from_batch is None:
        if model.model is None and not server.urls:
            raise UsageError("give -m FILE, a model to run here, or --server URL")
        return
    if server.urls:
        raise UsageError("batch files are used instead of --server")
    if server.served is None:
        raise UsageError("batch files need --served NAME, the model that is asked")
    if from_batch is not None and streams.output == run.STANDARD:
        raise UsageError("--from-batch needs -o FILE, beside which its draws are kept")


def batch_of(
    to_batch: str | None, from_batch: str | None, served: str | None
) -> WriteBatchRequests | TakeBatchResults | None:
    """The batch file that takes the place of a model, if one does."""
    from stepkit.cli.actions.run_batch_files import TakeBatchResults, WriteBatchRequests

    if to_batch is not None:
        return WriteBatchRequests(to_batch, served or "")
    return None if from_batch is None else TakeBatchResults(from_batch)


def backend_of(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    server: options.ServerOptions,
    form: PromptForm,
    batch: WriteBatchRequests | TakeBatchResults | None,
    max_tokens: int,
) -> Backend:
    """Where the draws come from."""
    if batch is None and not server.urls:
        from stepkit.model.backend import local_backend

        assert model.model is not None
        return local_backend(model.model, model, form, max_tokens)
    from stepkit.model.server_backend import batch_backend, server_backend

    if batch is None:
        return server_backend(server, model.model, form, streams.warn)
    return batch_backend(server.served or "", model.model, form, batch.engine)
