"""Release the unused memory of a process."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def release_memory() -> None:
    """Collect garbage and return freed memory to the system, on systems with glibc.

    Building a network draws, clones and copies weights, and compiling a step takes several times the memory
    of the program. glibc keeps freed memory for the process, which does not need it again.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
