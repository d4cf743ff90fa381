"""Bytes in: files and standard input as the whole lines of one read after another.

Compression is recognised by the first bytes, never by the name, and a truncated file is an error.
A read is at most 1 MB and never waits for a full one, so a slow producer's line is seen at once.
Nothing here parses a line.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from stepkit.errors import FailedError, UsageError, reason

STDIN = "-"
READ = 1 << 20
"""Bytes. Size of one read, and so of a block."""
SMALL_READ = 1 << 16
"""The same where nothing is gained from large blocks: their records stay in the processor's cache,
and parsing them takes half the time."""
PIECE = 1 << 13
"""Bytes of compressed data expanded at a time."""

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class LineBlock(NamedTuple):
    """The whole lines of one read, without their newlines.

    Attributes:
        source: the file's name as given, ``<stdin>`` for standard input.
        number: physical line number of ``lines[0]``, from 1.
        lines: the lines; blank ones are among them.
    """

    source: str
    number: int
    lines: list[bytes]


def check(files: Sequence[str]) -> None:
    """Raise UsageError for a file that cannot be read, before anything is."""
    if sum(name == STDIN for name in files) > 1:
        raise UsageError("standard input (-) can be read only once")
    for name in files:
        if name == STDIN:
            continue
        try:
            if stat.S_ISDIR(os.stat(name).st_mode):
                raise UsageError(f"{name}: is a directory")
        except OSError as error:
            raise UsageError(f"{name}: {reason(error)}") from None
        if not os.access(name, os.R_OK):
            raise UsageError(f"{name}: permission denied")


class LineReader:
    """Reads the files one after another, as one stream.

    Attributes:
        taken: bytes read so far, as they lie in the files (compressed ones count compressed).
        total: bytes of all files, or None when one of them is not a regular file.
        size: bytes of one read, at most.

    Args:
        head: what was read of standard input before.
    """

    def __init__(self, files: Sequence[str], size: int = READ, head: Sequence[bytes] = ()) -> None:
        self.files = files
        self._head = head
        self.size = size
        self.taken = 0
        self.total = _size(files)

    def __iter__(self) -> Iterator[LineBlock]:
        """Yield every block. Raises FailedError when reading or decompressing fails."""
        for name in self.files:
            yield from self._file(name)

    def _file(self, name: str) -> Iterator[LineBlock]:
        source = "<stdin>" if name == STDIN else name
        if name == STDIN and sys.stdin is None:
            raise FailedError("<stdin>: standard input is closed")
        try:
            descriptor = 0 if name == STDIN else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise FailedError(f"{name}: {reason(error)}") from None
        try:
            chunks = _decompressed(self._chunks(descriptor, source), source)
            yield from _split(chunks, source)
        finally:
            if descriptor:
                os.close(descriptor)

    def _chunks(self, descriptor: int, source: str) -> Iterator[bytes]:
        if not descriptor:
            for chunk in self._head:
                self.taken += len(chunk)
                yield chunk
        while True:
            try:
                chunk = os.read(descriptor, self.size)
            except BlockingIOError:  # a terminal or pipe that somebody made non-blocking
                select.select([descriptor], [], [])
                continue
            except OSError as error:
                raise FailedError(f"{source}: {reason(error)}") from None
            if not chunk:
                return
            self.taken += len(chunk)
            yield chunk


def head_lines(head: bytes) -> LineBlock | None:
    """The whole lines in the first bytes of standard input; None where there is none yet, or they
    are compressed."""
    end = head.rfind(b"\n")
    if end < 0 or head.startswith((_GZIP, _ZSTD)):
        return None
    return LineBlock("<stdin>", 1, _cut(head[:end], 1))


def _size(files: Sequence[str]) -> int | None:
    total = 0
    for name in files:
        try:
            status = os.fstat(0) if name == STDIN else os.stat(name)
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        total += status.st_size
    return total


def _split(chunks: Iterator[bytes], source: str) -> Iterator[LineBlock]:
    number = 1
    # A list, joined once: a line of many reads must not be copied at each of them.
    rest: list[bytes] = []
    for chunk in chunks:
        end = chunk.rfind(b"\n")
        if end < 0:
            rest.append(chunk)
            continue
        lines = _cut(b"".join((*rest, chunk[:end])), number)
        rest = [chunk[end + 1 :]]
        yield LineBlock(source, number, lines)
        number += len(lines)
    if last := b"".join(rest):
        yield LineBlock(source, number, _cut(last, number))


def _cut(text: bytes, number: int) -> list[bytes]:
    if number == 1 and text.startswith(_BOM):
        text = text[len(_BOM) :]
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").removesuffix(b"\r")
    return text.split(b"\n")


def _decompressed(chunks: Iterator[bytes], source: str) -> Iterator[bytes]:
    head = b""
    for chunk in chunks:
        head += chunk
        # Three bytes may be a whole record, {} and a newline: wait only for a magic number.
        if not any(magic.startswith(head) for magic in (_GZIP, _ZSTD)) or head in (_GZIP, _ZSTD):
            break
    rest = _after(head, chunks)
    if head.startswith(_GZIP):
        return _inflate(rest, _gzip_member, "gzip", source)
    if head.startswith(_ZSTD):
        return _inflate(rest, _zstd_frame(source), "zstd", source)
    return rest


def _after(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from chunks


def _gzip_member() -> Any:
    import zlib

    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)


def _zstd_frame(source: str) -> Any:
    try:
        from zstandard import ZstdDecompressor
    except ImportError:
        raise FailedError(
            f"{source}: is zstd-compressed; pip install 'stepkit[zstd]', or give it to zstd -dc"
        ) from None
    return lambda: ZstdDecompressor().decompressobj()


def _inflate(chunks: Iterator[bytes], member: Any, kind: str, source: str) -> Iterator[bytes]:
    """Decompress a series of members in small pieces, so that a high ratio costs no memory."""
    state = member()
    fresh = False  # nothing of this member has been seen yet
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE):
            data = chunk[start : start + PIECE]
            while data:
                if fresh and not data.strip(b"\0"):
                    break  # padding after the last member, as tapes have it
                fresh = False
                try:
                    out = state.decompress(data)
                except Exception as error:
                    raise FailedError(f"{source}: damaged {kind} data ({error})") from None
                if out:
                    yield out
                data = b""
                if state.eof:
                    data, state, fresh = state.unused_data, member(), True
    if not fresh:
        raise FailedError(f"{source}: {kind} data ends too early (a truncated file?)")
