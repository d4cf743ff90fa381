"""One JSON object a line: parsed for reading, spliced for writing.

A record keeps the bytes it came as. Setting a key replaces that key's value in the line, or appends
it before the closing brace; every other byte stays, so big integers, ``1.10``, spacing and order of
keys that are not ours survive. This module opens no file and knows no field name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from stepkit.errors import DataError
from stepkit.schema import Json

_BRACE = ord("}")
_SPACE = ord(" ")


class Record:
    """One line of input, or a fresh record.

    Attributes:
        raw: the line as it came, without its newline.
        data: the parsed object; read-only (use ``set`` and ``drop``, which change the line too).
        index: ordinal of the record in the whole input, from 0; blank lines are not counted.
        number: its physical line, from 1.
        source: the file's name as it was given, ``<stdin>`` for standard input.
    """

    __slots__ = ("_added", "_line", "data", "index", "number", "raw", "source")

    def __init__(
        self, raw: bytes, data: Json, source: str = "", number: int = 0, index: int = 0
    ) -> None:
        self.raw = raw
        self._line = raw
        self._added: dict[str, bytes] | None = None  # each with a comma before it
        self.data = data
        self.source = source
        self.number = number
        self.index = index

    @classmethod
    def new(cls, data: Json, place: str = "") -> Record:
        """A fresh record. Raises DataError when a value cannot be written as JSON."""
        return cls(encode(data), data, place)

    @property
    def place(self) -> str:
        """``file:line``, as error messages begin."""
        return f"{self.source}:{self.number}" if self.number else self.source

    def copy(self) -> Record:
        """The same line again, to be changed apart (several outputs made of one input)."""
        twin = Record(self.raw, dict(self.data), self.source, self.number, self.index)
        twin._line = self._line
        twin._added = self._added and dict(self._added)
        return twin

    def set(self, key: str, value: object) -> None:
        """Give ``key`` a value: in its place if it is there, else at the end.

        Raises DataError naming the field when the value has a NaN, an infinity or a broken text.
        """
        encoded = encode(value, key)
        if key not in self.data or (self._added is not None and key in self._added):
            if self._added is None:
                self._added = {}
            self._added[key] = b"%b%b" % (_opening(key), encoded)
        else:
            from stepkit.io.splice import entries

            _, start, end = entries(self._line, key)[-1]
            self._line = self._line[:start] + encoded + self._line[end:]
        self.data[key] = value

    def merge(self, key: str, changes: Json) -> None:
        """Set entries of the object at ``key``; its other entries stay byte for byte.

        A key that is missing or null becomes an object. Raises DataError when it is anything else.
        """
        old = self.data.get(key)
        if old is None:
            self.set(key, changes)
            return
        if not isinstance(old, dict):
            raise DataError("expected an object", key)
        if self._added is not None and key in self._added:
            self.set(key, old | changes)
            return
        from stepkit.io.splice import entries

        _, start, end = entries(self._line, key)[-1]
        inner = Record(self._line[start:end], old)
        for name, value in changes.items():
            try:
                inner.set(name, value)
            except DataError as error:
                raise DataError(error.what, f"{key}.{error.field}") from None
        self._line = self._line[:start] + inner.line()[:-1] + self._line[end:]

    def drop(self, key: str) -> None:
        """Remove ``key``, each duplicate of it and their commas; a missing key is no error."""
        if key not in self.data:
            return
        del self.data[key]
        if self._added is not None and key in self._added:
            del self._added[key]
            return
        from stepkit.io.splice import entries, without

        for begin, _, end in reversed(entries(self._line, key)):
            self._line = without(self._line, begin, end)

    def line(self) -> bytes:
        """The line, ended by one newline; an unchanged record's bytes as they came."""
        if not self._added:
            return self._line + b"\n"
        added = b"".join(self._added.values())
        if len(self.data) == len(self._added):
            added = added[1:]  # the first entry has no comma before it
        line = self._line
        if line[-1] != _BRACE or line[-2] <= _SPACE:
            line = line.rstrip()[:-1].rstrip() + b"}"
        return b"".join((line[:-1], added, b"}\n"))


def decode(line: bytes) -> Json:
    """Parse one line.

    Raises:
        DataError: it is not JSON, not UTF-8 or not an object. ``place`` holds the 1-based byte
            column where one is known, ``:8``, for the reader to put the file and line before it.
    """
    import orjson

    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _complaint(line, error.pos, error.msg) from None
    if type(data) is not dict:
        raise DataError(_not_an_object(data))
    return data


def quick_decoder() -> Callable[[bytes], Any]:
    """orjson.loads itself, for a tight loop; ``decode`` explains what it refuses (ValueError)."""
    import orjson

    return orjson.loads


def encode(value: object, field: str = "") -> bytes:
    """Write ``value`` as compact JSON.

    Integers beyond 64 bits and nesting beyond orjson's 254 levels are written exactly. Raises
    DataError naming the field below ``field`` of a NaN, an infinity or a lone surrogate.
    """
    import orjson

    try:
        encoded = orjson.dumps(value)
    except TypeError as error:
        encoded = _encode_slowly(value, field, error)
    # orjson writes NaN as null, silently; without a null there was none.
    if b"null" in encoded:
        _refuse_nonfinite(value, field)
    return encoded


def _encode_slowly(value: object, field: str, cause: TypeError) -> bytes:
    import json

    if "must be str" in str(cause) or "not JSON serializable" in str(cause):
        raise cause
    _refuse_nonfinite(value, field)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise DataError("a text with a lone surrogate is not valid Unicode", field) from None


def _refuse_nonfinite(value: object, field: str) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DataError(f"{value} is not a JSON number", field)
    elif isinstance(value, dict):
        for key, item in value.items():
            if item is not None and type(item) is not str:
                _refuse_nonfinite(item, f"{field}.{key}" if field else str(key))
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            # `item - item` is 0 but for NaN and infinities: no call for the numbers of a column.
            kind = type(item)
            if (kind is float and item - item != 0) or kind in (dict, list, tuple):
                _refuse_nonfinite(item, f"{field}[{index}]")


@lru_cache(maxsize=256)
def _opening(key: str) -> bytes:
    return b",%b:" % encode(key)


def _complaint(line: bytes, position: int, message: str) -> DataError:
    """The error of a line that is not JSON: its place in bytes, what is wrong, and a hint."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        found = line[error.start]
        return DataError(f"not UTF-8: byte 0x{found:02x}{_hint(line)}", place=f":{error.start + 1}")
    column = len(text[:position].encode()) + 1
    rest = text[position:]
    if rest.startswith(("NaN", "Infinity", "-Inf")):
        message = "NaN and Infinity are not JSON numbers; write null"
    elif "surrogate" in message:
        message = "an escaped lone surrogate is not valid Unicode"
    elif "end of data" in message:
        message = "the line ends too early"
    return DataError(f"not JSON: {message}{_hint(line)}", place=f":{column}")


_MAGIC = (
    (b"GGUF", "a GGUF model"),
    (b"PAR1", "a Parquet file"),
    (b"PK\x03\x04", "a zip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"version https://git-lfs", "a Git LFS pointer"),
)


def _hint(line: bytes) -> str:
    for magic, kind in _MAGIC:
        if line.startswith(magic):
            return f" (this looks like {kind})"
    start = line.strip()
    if start in (b"{", b"[") or start.startswith(b"["):
        return " (a pretty-printed or whole-array JSON file? try: jq -c '.[]?' or jq -c .)"
    if start.startswith((b"{'", b"{ '")):
        return " (this looks like Python's repr; JSON has double quotes)"
    return ""


def _not_an_object(data: object) -> str:
    from stepkit.schema import name_of

    if isinstance(data, list):
        return "expected an object, got a list (a whole-array JSON file? try: jq -c '.[]')"
    return f"expected an object, got {name_of(data)}"
