"""Memory of a process that trains: giving back what is free, and the peak."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def release_memory() -> None:
    """Collect garbage and return free memory to the system, where glibc is what holds it.

    Weights are drawn, cloned and copied while a network is built, and a compiler needs several times the
    memory of what it compiles. glibc keeps what is freed, and nothing else in the process needs so much.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
