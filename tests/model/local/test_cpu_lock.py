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


SHARER = """
import os, sys, time
from stepkit.model.local.cpu_lock import CpuLock
folder, name, decode, between, others = sys.argv[1:]
turns = CpuLock(folder)
open(os.path.join(folder, name), "w").close()
while not all(os.path.exists(os.path.join(folder, other)) for other in others):
    time.sleep(0.01)
begin, held, count = time.monotonic(), 0.0, 0
while time.monotonic() < begin + 4.0:
    with turns.hold():
        inside = time.monotonic()
        time.sleep(float(decode))
        held += time.monotonic() - inside
    count += 1
    time.sleep(float(between))
print(held, count)
"""


def shares(folder: Path, **decodes: tuple[float, float]) -> dict[str, tuple[float, int]]:
    """The seconds that engines hold the lock of the first four in which all are there, and how many
    decodes each makes, by the seconds of its decodes and between them."""
    workers = {
        name: subprocess.Popen(
            [sys.executable, "-c", SHARER, str(folder), name, *map(str, times), "".join(decodes)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, times in decodes.items()
    }
    found = {}
    for name, worker in workers.items():
        held, count = worker.communicate(timeout=60)[0].split()
        found[name] = (float(held), int(count))
    return found


def test_a_small_model_does_not_wait_for_a_decode_of_a_large_one_after_each_of_its_own(
    tmp_path: Path,
) -> None:
    """190 seconds of wall for 5 seconds of work were seen: a turn was one decode."""
    found = shares(tmp_path, a=(0.002, 0.0005), b=(0.2, 0.0005))
    assert found["a"][1] > 10 * found["b"][1], found  # one for one before
    assert found["b"][0] > 0.8, found  # and the large one has its share


def test_an_engine_that_waits_for_input_does_not_keep_the_room(tmp_path: Path) -> None:
    found = shares(tmp_path, a=(0.002, 0.5), b=(0.002, 0.0005))
    assert found["b"][0] > 0.5 * 4.0, found


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
