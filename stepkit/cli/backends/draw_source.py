"""The backend of draws: a model that runs here, servers, or batch files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepkit.cli.options.batch_files import BatchOptions
from stepkit.errors import UsageError
from stepkit.runner import options, run

if TYPE_CHECKING:
    from stepkit.model.backend import Backend, PromptForm
    from stepkit.model.engine import Engine


def check(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    server: options.ServerOptions,
    batch: BatchOptions,
) -> None:
    """Refuse options that name no source of draws, or several. Raises UsageError."""
    if not batch.given:
        if model.model is None and not server.urls:
            raise UsageError("give -m FILE, a model to run here, or --server URL")
        return
    if server.urls:
        raise UsageError("batch files are used instead of --server")
    if server.served is None:
        raise UsageError("batch files need --served NAME, the model that is asked")
    if batch.results is not None and streams.output == run.STANDARD:
        raise UsageError("--from-batch needs -o FILE, next to which its draws are kept")


def backend_of(
    streams: run.StreamOptions,
    model: options.ModelOptions,
    server: options.ServerOptions,
    form: PromptForm,
    batch: Engine | None,
    max_tokens: int,
) -> Backend:
    """The backend that draws.

    Args:
        batch: the engine that writes or reads batch files, where they take a model's place.
        max_tokens: most tokens of a draw.
    """
    if batch is None and not server.urls:
        from stepkit.model.backend import local_backend

        assert model.model is not None
        return local_backend(model.model, model, form, max_tokens, note=streams.note)
    from stepkit.model.server_backend import batch_backend, server_backend

    if batch is None:
        return server_backend(server, model.model, form, streams.warn)
    return batch_backend(server.served or "", model.model, form, batch)
