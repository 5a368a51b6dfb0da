"""How much memory this process can have, within the limits of its container."""

from __future__ import annotations

import os
from pathlib import Path

from usrn_keras.machine.control_group import ControlGroup

MEMINFO = Path("/proc/meminfo")


def total_memory(group: ControlGroup | None = None, meminfo: Path = MEMINFO) -> int | None:
    """Bytes of memory of the machine, or of the container where that has fewer; None if not told."""
    return _smaller(_of_machine("MemTotal", meminfo), (group or ControlGroup()).memory())


def free_memory(group: ControlGroup | None = None, meminfo: Path = MEMINFO) -> int | None:
    """Bytes that a process can still take without swapping, or None where that is not told."""
    return _smaller(_of_machine("MemAvailable", meminfo), (group or ControlGroup()).free_memory())


def _smaller(*sizes: int | None) -> int | None:
    return min((size for size in sizes if size is not None), default=None)


def _of_machine(key: str, meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith(f"{key}:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        pass
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None
    return total if key == "MemTotal" else total // 2  # half of it is taken to be free
