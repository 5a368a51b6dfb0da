"""Late and quiet imports: names of a package loaded at first use, libraries whose notes stay off stderr."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def loader(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: Its `__name__`.
        homes: The module of each name, relative to the package.

    Example:

    >>> loader("usrn_keras", {"voc_palette": "data"})("voc_palette")(2).tolist()
    [[0, 0, 0], [128, 0, 0]]
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(homes)}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return load


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
