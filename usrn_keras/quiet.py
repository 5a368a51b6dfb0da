"""Keeping what native libraries write to stderr while they are loaded away from our own output."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def native_stderr_held() -> Iterator[None]:
    """Drop what is written to file descriptor 2 in the block, or show it if the block raises.

    TensorFlow reports on its start-up from C++, before any of its settings can keep it from doing so.

    Example:

    >>> with native_stderr_held():
    ...     import tensorflow  # doctest: +SKIP
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            _restore(stderr)
            held.seek(0)
            with open(2, "wb", closefd=False) as shown:
                shutil.copyfileobj(held, shown)
            raise
        finally:
            _restore(stderr)
            os.close(stderr)


def _restore(stderr: int) -> None:
    sys.stderr.flush()
    os.dup2(stderr, 2)
