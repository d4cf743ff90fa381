"""A hub on loopback that speaks what huggingface_hub asks, and the machine that stores give their
files on: folders with files in them."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stepkit.schema import Json
from stepkit.stores.machine import Machine

COMMIT = "c0ffee" * 6 + "c0ff"


class DictFiles:
    """Files that are a dict of their bytes (stores.machine.FileView)."""

    def __init__(self, files: Mapping[str, bytes], forbidden: tuple[str, ...] = ()) -> None:
        self._files, self._forbidden = dict(files), forbidden

    def names(self, folder: str) -> list[str]:
        if folder.startswith(self._forbidden or ("\0",)):
            raise PermissionError(13, "Permission denied", folder)
        inside = [path[len(folder) + 1 :] for path in self._files if path.startswith(f"{folder}/")]
        return sorted({path.split("/")[0] for path in inside})

    def is_file(self, path: str) -> bool:
        return path in self._files

    def size(self, path: str) -> int:
        return len(self._files[path])

    def start(self, path: str, size: int) -> bytes:
        if path not in self._files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return self._files[path][:size]


def machine(files: Mapping[str, bytes], **environment: str) -> Machine:
    """A machine of these files whose user lives in /home/ann."""
    return Machine(DictFiles(files), environment, "/home/ann")


@dataclass
class Repository:
    """A repository of the hub.

    Attributes:
        files: name -> bytes.
        revisions: branches and tags -> commit.
        token: who does not send it gets nothing, or, of a gated one, no files.
        gated: its terms are to be accepted.
    """

    files: dict[str, bytes]
    revisions: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    token: str = ""
    gated: bool = False


@dataclass
class Asked:
    """A request that a hub got."""

    method: str
    path: str
    range: str | None
    authorization: str | None


class Hub:
    """A hub, and the other server that its large files are at, each on a port of its own.

    Attributes:
        url: for HF_ENDPOINT.
        asked, sent_files: what was asked of the two.
        cut: the next answer with a file ends after so many bytes; 0: none does.
        ranges: parts of files can be asked for.
        damage: files come with other bytes.
        stall: the next answer with a file stands still after so many bytes, until ``release``.
        broken: the hub has a fault.
    """

    def __init__(self, repositories: Mapping[str, Repository]) -> None:
        self.repositories = dict(repositories)
        self.asked: list[Asked] = []
        self.sent_files: list[Asked] = []
        self.cut = 0
        self.ranges = True
        self.damage = False
        self.stall = 0
        self.release = threading.Event()
        self.broken = False
        self._files = _Server(self, _FileHandler)
        self._hub = _Server(self, _HubHandler)
        self.url, self.files_url = self._hub.url, self._files.url

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: Any) -> None:
        self.release.set()
        self._hub.stop()
        self._files.stop()

    def environment(self, **more: str) -> dict[str, str]:
        """What a command needs to ask this hub and no other."""
        return {"HF_ENDPOINT": self.url, "NO_PROXY": "*", "HF_HUB_DISABLE_XET": "1", **more}


class _Server:
    def __init__(self, hub: Hub, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (handler,), {"hub": hub})
        )
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def heard(self) -> Asked:
        headers = self.headers
        return Asked(self.command, self.path, headers.get("Range"), headers.get("Authorization"))

    def reply(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status: int, code: str) -> None:
        self.reply(status, {"X-Error-Code": code, "X-Error-Message": code})


class _HubHandler(_Handler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.hub
        asked = self.heard()
        hub.asked.append(asked)
        if hub.broken:
            self.fail(503, "Unavailable")
            return
        listing = re.fullmatch(
            r"/api/models/([^/]+/[^/?]+)(?:/revision/([^?]+))?(?:\?.*)?", self.path
        )
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        found = listing or file
        repository = hub.repositories.get(found[1]) if found else None
        known = asked.authorization == f"Bearer {repository.token}" if repository else False
        if found is None or repository is None:
            self.fail(404, "RepoNotFound")
        elif repository.token and not known and not repository.gated:
            self.fail(401, "RepoNotFound")
        elif repository.gated and not known and file:
            self.fail(403, "GatedRepo")
        else:
            revision = (found[2] or "main").replace("%2F", "/")
            commit = repository.revisions.get(revision, revision)
            if commit not in repository.revisions.values():
                self.fail(404, "RevisionNotFound")
            elif listing:
                self._list(found[1], repository, commit)
            else:
                self._lead(found[1], repository, commit, found[3])

    def _list(self, name: str, repository: Repository, commit: str) -> None:
        files = [{"rfilename": one} for one in repository.files]
        about: Json = {"_id": "1", "id": name, "modelId": name, "sha": commit, "siblings": files}
        about |= {"private": False, "tags": [], "downloads": 0, "likes": 0}
        self.reply(200, {"Content-Type": "application/json"}, json.dumps(about).encode())

    def _lead(self, name: str, repository: Repository, commit: str, file: str) -> None:
        if file not in repository.files:
            self.fail(404, "EntryNotFound")
            return
        data = repository.files[file]
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{sha256(data).hexdigest()}"',
            "X-Linked-Size": str(len(data)),
            "ETag": '"pointer"',
            "Location": f"{self.hub.files_url}/{name}/{file}",
        }
        self.reply(302, headers)


class _FileHandler(_Handler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.hub
        asked = self.heard()
        if self.command == "GET":
            hub.sent_files.append(asked)
        owner, repository, file = self.path[1:].split("/", 2)
        data = hub.repositories[f"{owner}/{repository}"].files[file]
        if hub.damage:
            data = bytes(len(data))
        start, status, headers = 0, 200, {"Accept-Ranges": "bytes"}
        if asked.range and hub.ranges:
            start, status = int(asked.range[6:].split("-")[0]), 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        if self.command == "HEAD" or not hub.cut + hub.stall:
            self.reply(status, headers, body)
            return
        (cut, hub.cut), (stall, hub.stall) = (hub.cut, 0), (hub.stall, 0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: cut or stall])
        self.wfile.flush()
        if stall:
            hub.release.wait(60)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True
