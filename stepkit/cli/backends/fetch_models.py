"""The models that options name, before any is loaded: looked up, and fetched where they are named
``hf:...`` and are not on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepkit.runner.run import StreamOptions


def fetch_missing(streams: StreamOptions, named: Mapping[str, str | None]) -> None:
    """Fetch what is missing of the models that the options name; afterwards all of them are there.

    Args:
        named: option -> the name that was given, or None.

    Raises UsageError for a model that is nowhere, FailedError where fetching one fails.
    """
    from stepkit.stores.locate import locate, needs_fetching

    for option, name in named.items():
        if name is not None and needs_fetching(name, option):
            _fetch(streams, name, option)
        if name is not None and (found := locate(name, option).path) != name:
            streams.note(f"{option} {name} is {found}")


def _fetch(streams: StreamOptions, name: str, option: str) -> None:
    from stepkit.activity import activity
    from stepkit.stores.hub import fetch
    from stepkit.stores.model_list import shown_size
    from stepkit.stores.model_reference import parse

    reference = parse(name, option)
    assert reference is not None
    with activity(f"fetching {name}") as say:

        def watch(done: int, total: int) -> None:
            share = 100 * done // max(1, total)
            say(f"fetching {name}, {share} % of {shown_size(total)}")

        fetch(reference, option, streams.warn, watch)
