"""Free memory: the least of the machine's and the control groups', as files made up here say."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepkit.model.local.free_memory import free_bytes

GIB = 1 << 30
STAT = (
    "anon 1\ninactive_file {0}\nactive_file {1}\ntotal_inactive_file {0}\ntotal_active_file {1}\n"
)


def write(root: Path, files: dict[str, object]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def machine(root: Path, group: str = "") -> Path:
    """A machine with 8 GiB free, and the list of this process's groups."""
    meminfo = f"MemTotal: {16 << 20} kB\nMemFree: 1 kB\nMemAvailable: {8 << 20} kB"
    return write(root, {"proc/meminfo": meminfo, "proc/self/cgroup": group})


def test_without_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert free_bytes(machine(tmp_path)) == 8 * GIB


def test_a_group_of_version_2_limits_it(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/user/job")
    group = "sys/fs/cgroup/user/job/memory."
    write(root, {group + "max": "max", group + "current": 3 * GIB})
    assert free_bytes(root) == 8 * GIB, "no limit"
    write(root, {group + "max": 4 * GIB})
    assert free_bytes(root) == 1 * GIB
    write(root, {group + "stat": STAT.format(GIB, GIB // 2)})
    assert free_bytes(root) == 5 * GIB // 2, "pages of files can be had back"


def test_the_groups_above_count_too(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/user/job")
    write(root, {"sys/fs/cgroup/user/memory.max": 2 * GIB})
    write(root, {"sys/fs/cgroup/user/memory.current": GIB})
    write(root, {"sys/fs/cgroup/user/job/memory.max": 6 * GIB})
    write(root, {"sys/fs/cgroup/user/job/memory.current": GIB})
    assert free_bytes(root) == 1 * GIB


@pytest.mark.parametrize("path", ["/", "/docker/0123", "/../other"])
def test_in_a_container_the_top_is_its_own(tmp_path: Path, path: str) -> None:
    root = machine(tmp_path, f"0::{path}")
    write(root, {"sys/fs/cgroup/memory.max": 2 * GIB, "sys/fs/cgroup/memory.current": 0})
    assert free_bytes(root) == 2 * GIB


def test_a_group_of_version_1_limits_it(tmp_path: Path) -> None:
    root = machine(tmp_path, "9:cpu,cpuacct:/a\n4:memory:/a\n0::/")
    group = "sys/fs/cgroup/memory/a/memory."
    write(root, {group + "limit_in_bytes": 2 * GIB, group + "usage_in_bytes": GIB})
    write(root, {group + "stat": STAT.format(GIB // 4, 0)})
    assert free_bytes(root) == 5 * GIB // 4
    write(root, {group + "limit_in_bytes": (1 << 63) - 4096})
    assert free_bytes(root) == 8 * GIB, "version 1's way to say that there is no limit"


def test_a_group_beyond_its_limit_leaves_nothing(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/")
    write(root, {"sys/fs/cgroup/memory.max": GIB, "sys/fs/cgroup/memory.current": 2 * GIB})
    assert free_bytes(root) == 0


def test_without_proc_it_is_half_of_the_machine(tmp_path: Path) -> None:
    from os import sysconf

    machine_bytes = sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES")
    assert free_bytes(tmp_path) == machine_bytes // 2


def test_here_it_is_a_part_of_the_machine() -> None:
    from os import sysconf

    assert 0 < free_bytes() <= sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES")
