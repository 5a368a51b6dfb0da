"""How much memory this process has, and can still have, found without loading a backend."""

from __future__ import annotations

import os
from pathlib import Path

from usrn_keras.machine import available_memory as free_of_machine
from usrn_keras.machine import peak_memory


def free_memory() -> int | None:
    """Bytes that this process can still take without swapping, or None where it is not told.

    Within a container, or under `ulimit -v`, that is what the limit leaves.
    """
    rooms = (free_of_machine(), _free_of_process())
    return min((room for room in rooms if room is not None), default=None)


def process_memory() -> int | None:
    """Bytes that this process holds now, or None where it is not told."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return peak_memory()  # what it held at most is close, before anything large


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
