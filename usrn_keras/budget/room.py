"""How much memory there is, found without loading a backend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CONTROL_GROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Bytes of memory that a process can still take without swapping, or None where it is not told.

    Within a container, or under `ulimit -v`, that is what the limit leaves.
    """
    rooms = (_free_of_machine(), _free_of_container(), _free_of_process())
    return min((room for room in rooms if room is not None), default=None)


def process_memory() -> int | None:
    """Bytes that this process holds now, or None where it is not told."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return peak_memory()  # what it held at most is close, before anything large


def peak_memory() -> int | None:
    """Bytes that this process has held at most, or None where it is not told."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    # Kilobytes everywhere but on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def gpu_memory(what: str = "total") -> int | None:
    """Bytes of the first GPU's memory, `total` or `free`, as nvidia-smi tells, or None."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    query = [tool, f"--query-gpu=memory.{what}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(told.splitlines()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def _free_of_machine() -> int | None:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(available.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        pass
    try:  # elsewhere half of all memory is taken to be free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (OSError, ValueError, AttributeError):
        return None


def _free_of_container() -> int | None:
    """What the limit of the control group leaves; files that are kept in memory can be dropped."""
    for limit, used, files in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, now = (int((CONTROL_GROUPS / name).read_text(encoding="ascii")) for name in (limit, used))
            statistics = (CONTROL_GROUPS / limit).with_name("memory.stat").read_text(encoding="ascii")
            kept = dict(line.split() for line in statistics.splitlines())
            return max(0, most - now + int(kept.get(files, 0)))
        except (OSError, ValueError):  # there is none, or no limit ("max")
            continue
    return None


def _free_of_process() -> int | None:
    """What `ulimit -v` leaves of the addresses of this process."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        used = int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError, AttributeError):
        return None
    return None if limit == resource.RLIM_INFINITY else max(0, limit - used)
