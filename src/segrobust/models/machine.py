"""What this machine has: memory, processors, and the folders that weights are kept in. Needs nothing heavy."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from segrobust.models.weights import cache_folder


@dataclass(frozen=True)
class Memory:
    """Main memory, in bytes.

    Attributes:
        total: that this process may use: the machine's, or less where its control group sets a limit.
        available: of it, without swapping anything out.
        limited: a control group sets the limit.
    """

    total: int
    available: int
    limited: bool


@dataclass(frozen=True)
class Cache:
    """A folder that weights are kept in.

    Attributes:
        name: what lies there.
        path: the folder; it need not exist.
        exists: whether it does.
        free: bytes on its disk; None = cannot be read.
        set_by: the environment variable that says so; empty = the default.
    """

    name: str
    path: Path
    exists: bool
    free: int | None
    set_by: str


def memory(root: Path = Path("/")) -> Memory | None:
    """Main memory; None where the system does not say.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    machine = _of_the_machine(root)
    limits = [pair for folder in _control_groups(root) if (pair := _limit(folder)) is not None]
    if machine is None or not limits:
        return machine
    total = min(limit for limit, _ in limits)
    if total >= machine.total:
        return machine
    left = min(limit - used for limit, used in limits)
    return Memory(total, max(0, min(machine.available, left)), limited=True)


def processors() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def caches() -> tuple[Cache, ...]:
    """The Hugging Face hub's cache (if its library is installed), and ours."""
    hub = hub_cache()
    ours = _cache("single files (segrobust models download)", cache_folder(), ("SEGROBUST_CACHE", "XDG_CACHE_HOME"))
    if hub is None:
        return (ours,)
    return _cache("Hugging Face hub", hub, ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")), ours


def hub_cache() -> Path | None:
    """Where the Hugging Face hub's library keeps what it downloaded; None without that library."""
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return None
    return Path(HF_HUB_CACHE)


def _cache(name: str, path: Path, variables: tuple[str, ...]) -> Cache:
    there = next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        free = None
    set_by = next((variable for variable in variables if os.environ.get(variable)), "")
    return Cache(name, path, path.is_dir(), free, set_by)


def _of_the_machine(root: Path) -> Memory | None:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if len(line.split()) > 1}
        return Memory(sizes["MemTotal"], sizes["MemAvailable"], limited=False)
    except (OSError, KeyError, ValueError):
        pass
    try:  # no Linux: what there is, but not what is left
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return Memory(total, total, limited=False)
    except (OSError, ValueError, AttributeError):
        return None


def _control_groups(root: Path) -> list[Path]:
    """The folders of this process's memory control groups, of both versions, from its own up to the root."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        inner = mount / group.strip("/")
        folders += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(mount)]
    return folders


def _limit(folder: Path) -> tuple[int, int] | None:
    """A control group's limit and what is used of it, in bytes; None if it has none."""
    for limit, used, inactive in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            stat = (folder / "memory.stat").read_text().split()
            reclaimable = int(dict(zip(stat[::2], stat[1::2], strict=False)).get(inactive, 0))
            return int((folder / limit).read_text()), max(0, int((folder / used).read_text()) - reclaimable)
        except (OSError, ValueError):  # "max", or not there
            continue
    return None
