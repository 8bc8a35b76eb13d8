"""models/machine.py: memory as the machine and its control groups give it, and where weights are kept."""

from pathlib import Path

import pytest

from segrobust.models.machine import Memory, caches, memory

GIB = 2**30


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MACHINE = {
    "proc/meminfo": f"MemTotal: {16 * 2**20} kB\nMemFree: 1 kB\nMemAvailable: {10 * 2**20} kB\nHugePages_Total: 0\n"
}


def group(folder: str, limit: str, used: int, inactive: int = 0) -> dict[str, str]:
    base = f"sys/fs/cgroup/{folder}".rstrip("/")
    return {
        f"{base}/memory.max": limit,
        f"{base}/memory.current": str(used),
        f"{base}/memory.stat": f"anon 1\ninactive_file {inactive}\n",
    }


def test_without_a_control_group_it_is_the_machines(tmp_path: Path) -> None:
    assert memory(put(tmp_path, MACHINE)) == Memory(16 * GIB, 10 * GIB, limited=False)


def test_the_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    files = MACHINE | {"proc/self/cgroup": "0::/a/b\n"}
    files |= group("", "max", 9 * GIB) | group("a", str(4 * GIB), 3 * GIB, 2 * GIB) | group("a/b", "max", GIB)
    assert memory(put(tmp_path, files)) == Memory(4 * GIB, 3 * GIB, limited=True)  # what files only borrow is free


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    base = "sys/fs/cgroup/memory/job"
    files = MACHINE | {
        "proc/self/cgroup": "5:cpu,cpuacct:/other\n4:memory:/job\n",
        f"{base}/memory.limit_in_bytes": str(2 * GIB),
        f"{base}/memory.usage_in_bytes": str(GIB),
        f"{base}/memory.stat": "total_inactive_file 0\n",
    }
    assert memory(put(tmp_path, files)) == Memory(2 * GIB, GIB, limited=True)


@pytest.mark.parametrize("limit", ["max", str(2**63 - 4096)])
def test_no_limit_is_no_limit(tmp_path: Path, limit: str) -> None:
    files = MACHINE | {"proc/self/cgroup": "0::/\n"} | group("", limit, GIB)
    assert memory(put(tmp_path, files)) == Memory(16 * GIB, 10 * GIB, limited=False)


def test_this_machine_has_memory() -> None:
    found = memory()
    assert found is not None
    assert 0 < found.available <= found.total


def test_a_cache_that_is_not_there_yet_has_the_space_of_its_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGROBUST_CACHE", str(tmp_path / "not/yet"))
    ours = caches()[-1]
    assert ours.path == tmp_path / "not/yet/weights"
    assert (ours.exists, ours.set_by) == (False, "SEGROBUST_CACHE")
    assert ours.free is not None
    assert ours.free > 0
