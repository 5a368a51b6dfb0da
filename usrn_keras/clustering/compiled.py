"""Compile functions and keep the machine code for the next process, apart for every version of numba."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Compile a function without Python objects when it is called first; like `numba.njit(cache=True)`.

    Numba keeps machine code beside the source file, for one version of itself. Another version overwrites it,
    index first: a process that starts between the two writes reads code that it cannot run ("LLVM bitcode
    parsing error"). That happens after an update of numba, and where two environments share one checkout. So
    each version gets a folder of its own, in `__pycache__` or in `NUMBA_CACHE_DIR`; where that cannot be
    written, numba takes its folder of the user.

    Args:
        options: Options of `numba.njit`, such as `nogil` and `fastmath`.

    Example:

    ```python
    @compiled(nogil=True)
    def double(values):
        return 2 * values
    ```
    """

    def decorate(function: Callable) -> Callable:
        chosen = numba.config.CACHE_DIR
        source = Path(function.__code__.co_filename)
        base = Path(chosen) if chosen else source.parent / "__pycache__"
        numba.config.CACHE_DIR = str(
            base / f"numba-{numba.__version__}"
        )  # read when a cache is made, not later
        try:
            return numba.njit(cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = chosen

    return decorate
