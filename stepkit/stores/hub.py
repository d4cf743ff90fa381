"""Hugging Face's hub: a model's files fetched into its cache, resumed where they were interrupted.

The only module that imports huggingface_hub, and the only one of this package that goes on the
network. The hub, the token and the cache are those that huggingface_hub finds in the environment
(``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME``). A file is written to ``blobs/ETAG.incomplete`` of the
cache and goes on from there the next time: huggingface_hub itself begins again since its version
1.20, because locks do not hold on some network file systems. What is complete is checked against
its SHA-256 and put in its place by huggingface_hub.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from time import sleep
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stepkit.errors import FailedError, StepkitError, UsageError, reason
from stepkit.modelfile import parts
from stepkit.stores import hub_cache
from stepkit.stores.gguf_choice import ChoiceError, choose
from stepkit.stores.located_model import NotFoundError
from stepkit.stores.machine import Machine, this_machine
from stepkit.stores.model_list import shown_size
from stepkit.stores.model_reference import ModelReference

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

PATIENCE = 10.0
"""Seconds that the hub has for a list of files."""

TRIES, PAUSE = 3, 1.0
"""Connections that bring nothing before one gives up, and the seconds between them."""

PIECE = 1 << 18
"""Bytes that are fetched, or read to check a file, before the next word about it."""

Say = Callable[[str], None]
Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class _Download:
    """One file to be fetched.

    Attributes:
        name: in the repository.
        about: what the hub says of it: where it is, its size, its hash.
        blob: where its bytes are to be in the cache.
    """

    name: str
    about: HfFileMetadata
    blob: str

    @property
    def part(self) -> str:
        """The file until it is complete."""
        return self.blob + ".incomplete"

    @property
    def size(self) -> int:
        return self.about.size or 0

    @property
    def done(self) -> int:
        """Bytes that are there."""
        paths = (path for path in (self.blob, self.part) if os.path.exists(path))
        return min(self.size, next(map(os.path.getsize, paths), 0))


def fetch(reference: ModelReference, option: str, say: Say, watch: Watch) -> None:
    """Put the file that is meant, with all its parts, into the cache.

    Where the hub cannot be reached, what the cache has is taken, and that is said.

    Args:
        option: by which the user named the model.
        say: is told what is done, a line each.
        watch: is told the bytes that are there and their number in the end.

    Raises UsageError for what the hub does not have or give, FailedError for a hub that cannot be
    reached and for a disk that is full.
    """
    what = f"{option} {reference}"
    hub = _huggingface_hub(what)
    with _adjusted(hub), _explained(hub, what, reference):
        try:
            info = _listed(hub, reference)
        except Exception as error:
            if _is_answer(hub, error) or not (name := _cached_name(reference)):
                raise
            say(f"{reference}: {_unreachable(hub, error)}; taking {name} from the cache")
            return
        names = [one.rfilename for one in info.siblings or ()]
        wanted = parts(choose(names, reference.file))
        if missing := sorted(set(wanted) - set(names)):
            raise ChoiceError(f"its part {missing[0]} is not there")
        downloads = [_download(hub, reference.model, str(info.sha), name) for name in wanted]
        _fetch_all(hub, downloads, reference, say, watch)
        for name in wanted:  # gives the bytes their names
            hub.hf_hub_download(reference.model, name, revision=reference.revision or None)


def _huggingface_hub(what: str) -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.file_download
        import huggingface_hub.utils
    except ImportError:
        raise UsageError(
            f"{what}: not in the cache, and fetching it needs huggingface_hub: pip install "
            "'stepkit[hf]'"
        ) from None
    return huggingface_hub


def _listed(hub: Any, reference: ModelReference) -> Any:
    """The repository at the revision: its commit and the names of its files."""
    if hub.constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    revision = reference.revision or None
    return hub.HfApi().model_info(reference.model, revision=revision, timeout=PATIENCE)


def _download(hub: Any, repository: str, commit: str, name: str) -> _Download:
    url = hub.hf_hub_url(repository, name, revision=commit)
    about = hub.get_hf_file_metadata(url)
    if not about.etag or not re.fullmatch(r"[\w.-]+", about.etag) or not about.size:
        raise FailedError(f"{url}: the hub gives no hash or size of it")
    folder = hub.constants.HF_HUB_CACHE
    repository = os.path.join(folder, f"models--{repository.replace('/', '--')}")
    return _Download(name, about, os.path.join(repository, "blobs", about.etag))


def _fetch_all(
    hub: Any, downloads: list[_Download], reference: ModelReference, say: Say, watch: Watch
) -> None:
    total = sum(one.size for one in downloads)
    left = total - sum(one.done for one in downloads)
    if left:
        parted = f" in {len(downloads)} parts" if len(downloads) > 1 else ""
        going_on = f", {shown_size(left)} of it left" if left < total else ""
        say(
            f"fetching {reference}: {downloads[0].name}{parted}, {shown_size(total)}{going_on}, "
            f"into {hub.constants.HF_HUB_CACHE}"
        )
    before = 0
    for one in downloads:
        os.makedirs(os.path.dirname(one.blob), exist_ok=True)
        _complete(hub, one, say, partial(_watch_part, watch, before, total))
        before += one.size


def _watch_part(watch: Watch, before: int, total: int, done: int) -> None:
    watch(before + done, total)


def _complete(hub: Any, one: _Download, say: Say, watch: Callable[[int], None]) -> None:
    """Fetch what is missing of a file, unless another process does."""
    with _locked(one, say) as file:
        if file is None:
            return
        resumed = file.tell() > 0
        whole = _transfer(hub, one, file, watch)
        if resumed and not whole:
            say(f"{one.name}: what was there is damaged; fetching it from its start")
            file.truncate(0)
            file.seek(0)
            whole = _transfer(hub, one, file, watch)
        if not whole:
            os.unlink(one.part)
            raise FailedError(f"{one.name}: what came is not the hub's file; try again")
        os.replace(one.part, one.blob)


@contextmanager
def _locked(one: _Download, say: Say) -> Iterator[IO[bytes] | None]:
    """The incomplete file, at its end; None where it is complete by now."""
    if os.path.exists(one.blob):
        yield None
        return
    with open(one.part, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{one.name}: waiting for another process that fetches it")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0, os.SEEK_END)
        # complete, it is no longer called what was opened
        yield None if os.path.exists(one.blob) else file


def _transfer(hub: Any, one: _Download, file: IO[bytes], watch: Callable[[int], None]) -> bool:
    """Append what is missing; whether the file then is the hub's."""
    headers = hub.utils.build_hf_headers()
    if urlsplit(one.about.location).netloc != urlsplit(hub.constants.ENDPOINT).netloc:
        headers.pop("authorization", None)  # a signed address elsewhere; the token is the hub's
    _check_room(os.path.dirname(one.part), one.size - file.tell())
    failures = 0
    while (there := file.tell()) < one.size and failures < TRIES:
        try:
            hub.file_download.http_get(
                one.about.location,
                _WatchedFile(file, watch),
                resume_size=there,
                headers=headers,
                expected_size=one.size,
            )
        except Exception as error:
            failures = 0 if file.tell() > there else failures + 1
            lasting = _is_answer(hub, error) or (isinstance(error, OSError) and error.errno)
            # more than there is: a server that knows no ranges sent all of it again
            if file.tell() <= one.size and (lasting or failures == TRIES):
                raise
            sleep(PAUSE * failures)
    file.flush()
    return _is_whole(one)


def _check_room(folder: str, size: int) -> None:
    """Raise FailedError where a folder's disk has less than ``size`` bytes left."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < size:
        raise FailedError(f"{folder}: {shown_size(size)} are needed, {shown_size(free)} are free")


class _WatchedFile:
    """A file whose growth is told."""

    def __init__(self, file: IO[bytes], watch: Callable[[int], None]) -> None:
        self._file, self._watch = file, watch

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        self._watch(self._file.tell())
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _is_whole(one: _Download) -> bool:
    """Whether the file has its size, and its SHA-256 where that is its name."""
    if os.path.getsize(one.part) != one.size:
        return False
    name = os.path.basename(one.blob)
    if not re.fullmatch(r"[0-9a-f]{64}", name):
        return True  # a small file, by git's hash
    state = sha256()
    with open(one.part, "rb") as file:
        for piece in iter(partial(file.read, PIECE), b""):
            state.update(piece)
    return state.hexdigest() == name


def _cached_name(reference: ModelReference, machine: Machine | None = None) -> str:
    """The file that the cache alone takes the reference for, or ""."""
    try:
        return hub_cache.find(machine or this_machine(), reference).name
    except (ChoiceError, NotFoundError):
        return ""


@contextmanager
def _adjusted(hub: Any) -> Iterator[None]:
    """huggingface_hub's own bars and warnings are left out, ours say it; and what has come is
    written more often than each 10 MB."""
    piece, hub.constants.DOWNLOAD_CHUNK_SIZE = hub.constants.DOWNLOAD_CHUNK_SIZE, PIECE
    bars, level = hub.utils.are_progress_bars_disabled(), hub.utils.logging.get_verbosity()
    hub.utils.disable_progress_bars()
    hub.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        hub.constants.DOWNLOAD_CHUNK_SIZE = piece
        hub.utils.logging.set_verbosity(level)
        if not bars:
            hub.utils.enable_progress_bars()


@contextmanager
def _explained(hub: Any, what: str, reference: ModelReference) -> Iterator[None]:
    """Every failure in one line that says what to do."""
    try:
        yield
    except StepkitError as error:
        raise type(error)(f"{what}: {error}") from None
    except ChoiceError as error:
        raise UsageError(f"{what}: {error}") from None
    except Exception as error:
        if _is_answer(hub, error):
            raise UsageError(f"{what}: {_refusal(hub, error, reference)}") from None
        if isinstance(error, OSError) and error.errno:
            place = f"{error.filename}: " if error.filename else ""
            raise FailedError(f"{what}: {place}{reason(error)}") from None
        cause = f"{_unreachable(hub, error)}; what has come of it is kept"
        raise FailedError(f"{what}: {cause}") from None


def _is_answer(hub: Any, error: Exception) -> bool:
    """Whether the hub has answered, and would answer the same again."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", 0) or 0
    names = ("RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError")
    known = tuple(getattr(hub.errors, name) for name in names)
    return isinstance(error, (ChoiceError, *known)) or status in (401, 403, 404)


def _refusal(hub: Any, error: Exception, reference: ModelReference) -> str:
    errors, endpoint = hub.errors, hub.constants.ENDPOINT
    if isinstance(error, errors.GatedRepoError):
        return (
            f"gated: accept its terms at {endpoint}/{reference.model}, and give a token (HF_TOKEN, "
            "or hf auth login)"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f'{endpoint} has no revision "{reference.revision}" of it'
    if isinstance(error, errors.EntryNotFoundError):
        return f"{endpoint} has no such file"
    token = "the token is refused" if hub.get_token() else "a private one, which needs HF_TOKEN"
    return f"{endpoint} has no such repository, or it is {token}"


def _unreachable(hub: Any, error: Exception) -> str:
    lines = str(error).strip().splitlines()
    cause = lines[0] if lines else type(error).__name__
    if cause == "HF_HUB_OFFLINE is set":
        return "not in the cache, and HF_HUB_OFFLINE is set"
    return f"{hub.constants.ENDPOINT}: {cause[:200]}"
