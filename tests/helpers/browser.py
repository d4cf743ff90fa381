"""A real browser without a window, spoken to through its own debugging pipe: no driver, no network.

DevTools protocol, messages ended by a null byte: what we write is the browser's descriptor 3, what
it writes 4 (``chromium --remote-debugging-pipe``).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--lang=en",
    # tests often run as root in a container, where the sandbox cannot start; the pages are ours
    "--no-sandbox",
)
TITLED = "document.title !== 'step-view'"
"""A page of traces names the one that it shows."""
PATIENCE = 90.0
"""Seconds to wait for an answer: the machine may be busy."""


def executable() -> str | None:
    """Where a browser is, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Browser:
    """One tab of a browser.

    Attributes:
        complaints: what scripts threw, logged as an error, or were refused by the page's policy.
        requests: the URLs that were asked for.
    """

    def __init__(self, program: str, profile: Path) -> None:
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        # low numbers of ours must not be overwritten by the child's 3 and 4 before they are copied
        shell = f'exec "$0" "$@" 3<&{their_in} 4>&{their_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(their_in, their_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self._rest = b""
        self._number = 0
        self._session = ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(OSError, EOFError):
            self.call("Browser.close")
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, **parameters: Any) -> Any:
        """Ask, and wait for the answer. Raises RuntimeError when the browser refuses."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        for answer in self._messages():
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
        raise EOFError("the browser is gone")

    def _messages(self) -> Iterator[dict[str, Any]]:
        until = time.monotonic() + PATIENCE
        while True:
            while b"\0" in self._rest:
                line, _, self._rest = self._rest.partition(b"\0")
                message = json.loads(line)
                self._note(message)
                yield message
            if not select.select([self._in], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            read = os.read(self._in, 1 << 20)
            if not read:
                return
            self._rest += read

    def _note(self, message: dict[str, Any]) -> None:
        method, what = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = what["exceptionDetails"]
            self.complaints.append(details.get("exception", details).get("description", "thrown"))
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning"):
            self.complaints.append(str(what["args"]))
        elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.complaints.append(what["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])

    # ---- a page --------------------------------------------------------------------------------

    def open(self, page: Path, address: str = "", until: str = TITLED) -> None:
        """Load a file and wait until its scripts have run, and an expression is true."""
        self.call("Page.navigate", url="about:blank")
        self.complaints.clear()
        self.requests.clear()
        self.call("Page.navigate", url=f"file://{page}{address}")
        self.wait(f"document.readyState === 'complete' && {until}")

    def run(self, script: str) -> Any:
        """The value of an expression in the page (a promise is waited for), as JSON."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true. Raises TimeoutError."""
        until = time.monotonic() + PATIENCE
        while not self.run(condition):
            if time.monotonic() > until:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """The text that is seen of the first element, "" when there is none."""
        return next(iter(self.texts(selector)), "")

    def texts(self, selector: str) -> list[str]:
        """The texts of all of them, once what was changed has been painted."""
        found = self.run(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done("
            f"Array.from(document.querySelectorAll({json.dumps(selector)}),"
            " one => one.innerText ?? one.textContent)))))"
        )
        assert isinstance(found, list)
        return found

    def press(self, key: str, text: str | None = None) -> None:
        """Press and release a key; ``text`` is what it types."""
        typed = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **typed)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, text: str) -> None:
        """Type a text, key by key."""
        for letter in text:
            self.press(letter, letter)

    def hover(self, selector: str) -> None:
        """Move the pointer onto the middle of an element."""
        self._mouse("mouseMoved", selector)

    def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        self._mouse("mouseMoved", selector)
        self._mouse("mousePressed", selector, button="left", clickCount=1)
        self._mouse("mouseReleased", selector, button="left", clickCount=1)

    def _mouse(self, what: str, selector: str, **more: Any) -> None:
        box = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect();"
            "return [b.left + b.width / 2, b.top + b.height / 2]; })()"
        )
        self.call("Input.dispatchMouseEvent", type=what, x=box[0], y=box[1], **more)

    def view(self, width: int, height: int, dark: bool = False) -> None:
        """A window of this size, on a light or a dark system."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> bytes:
        """What is seen, as PNG."""
        answer = self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])
