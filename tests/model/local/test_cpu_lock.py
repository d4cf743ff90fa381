"""Engines that share the processor take turns, and neither starves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from stepkit.model.local.cpu_lock import CpuLock

WORKER = """
import os, sys, time
from stepkit.model.local.cpu_lock import CpuLock
turns = CpuLock(sys.argv[1])
open(os.path.join(sys.argv[1], sys.argv[3]), "w").close()
while not all(os.path.exists(os.path.join(sys.argv[1], name)) for name in sys.argv[4:]):
    time.sleep(0.01)
end = time.time() + 1.0
log = open(sys.argv[2], "ab", 0)
while time.time() < end:
    with turns.hold():
        log.write(sys.argv[3].encode())
        time.sleep(0.002)
"""


def test_two_engines_alternate(tmp_path: Path) -> None:
    log = tmp_path / "log"
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), str(log), name, "a", "b"])
        for name in "ab"
    ]
    assert [worker.wait(30) for worker in workers] == [0, 0]
    turns = log.read_text()
    first = max(turns.index(name) for name in "ab")  # from here on both are there
    last = min(turns.rindex(name) for name in "ab")
    shared = turns[first : last + 1]
    few, many = sorted(shared.count(name) for name in "ab")
    assert few > 10 and many <= 2 * few, shared


def test_a_dead_engine_leaves_no_lock(tmp_path: Path) -> None:
    code = WORKER.replace("time.sleep(0.002)", "os._exit(9)")
    subprocess.run([sys.executable, "-c", code, str(tmp_path), str(tmp_path / "log"), "a"])
    with CpuLock(str(tmp_path)).hold():
        pass


def test_a_suspended_engine_does_not_stop_the_others(tmp_path: Path) -> None:
    held, other = CpuLock(str(tmp_path)), CpuLock(str(tmp_path), patience=0.2)
    with held.hold():
        with other.hold():
            pass
        begin = time.monotonic()
        with other.hold():
            pass
        assert time.monotonic() - begin < 0.1  # it does not wait for it again


def test_a_folder_that_cannot_be_written_means_no_turns() -> None:
    with CpuLock("/proc/nowhere").hold():
        pass


def test_who_waits_knows_for_whom(tmp_path: Path) -> None:
    with CpuLock(str(tmp_path)).hold():
        code = (
            "import sys, threading, time\n"
            "from stepkit.activity import current_activity\n"
            "from stepkit.model.local.cpu_lock import CpuLock\n"
            "threading.Timer(0.2, lambda: print(current_activity()[0])).start()\n"
            "with CpuLock(sys.argv[1], patience=0.5).hold(): print(current_activity())\n"
        )
        waiting = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
        )
    name = Path(sys.argv[0]).name
    assert waiting.stdout == f"waiting for {name[:40]} (process {os.getpid()})\nNone\n"
