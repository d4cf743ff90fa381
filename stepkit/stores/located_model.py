"""What a store knows of one of its models: where the file is, and what evidence calls it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LocatedModel:
    """A model that is on this machine.

    Attributes:
        path: its GGUF file, of several parts the first.
        name: what evidence calls it: no folder, no blob's digest.
    """

    path: str
    name: str


@dataclass(frozen=True)
class ListedModel:
    """A model as it is listed.

    Attributes:
        store: who keeps it, in words.
        typed: its name, as it is typed.
        path: its file, of several parts the first.
        sizes: bytes of its parts.
    """

    store: str
    typed: str
    path: str
    sizes: tuple[int, ...]


class NotFoundError(LookupError):
    """A store does not have the model; ``str()`` says where was looked, and what to do."""
