"""Import names of a package on first use, and hide what libraries write to stderr on import."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any


def lazy_loader(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Create the `__getattr__` of a package that imports its names on first use.

    Args:
        package: `__name__` of the package.
        homes: Module of each name, relative to the package.

    Example:

    >>> lazy_loader("usrn_keras", {"voc_palette": "data"})("voc_palette")(2).tolist()
    [[0, 0, 0], [128, 0, 0]]
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(homes)}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return load


@contextlib.contextmanager
def suppress_native_stderr() -> Iterator[None]:
    """Discard what the block writes to file descriptor 2, or print it if the block raises.

    TensorFlow logs its start from C++ before any of its settings can prevent that.

    Example:

    >>> with suppress_native_stderr():
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
