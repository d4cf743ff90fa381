"""A journal in memory."""

from __future__ import annotations

from typing import Any

from stepkit.io.jsonl import decode, encode


class MemoryJournal(dict[str, Any]):
    """Remembers what JSON keeps of each value."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[str] = []

    def put(self, key: str, value: Any) -> None:
        self[key] = decode(encode(value))

    def refuse(self, key: str) -> None:
        self.refused.append(key)

    def report(self) -> None:
        """Nothing is left to say."""
