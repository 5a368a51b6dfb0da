"""Memory that runs out in training: said before where it can be told, and in plain words where it happens."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

from usrn_keras.errors import OutOfMemoryError, USRNError

# What the backends raise, by the names of the classes: none needs to be imported to be known.
CLASSES = {"OutOfMemoryError", "ResourceExhaustedError", "_ArrayMemoryError"}
# Where the class says nothing: errors of PyTorch on a CPU, and of XLA.
WORDS = (
    "can't allocate memory",
    "DefaultCPUAllocator",
    "not enough memory",
    "CUDA out of memory",
    "RESOURCE_EXHAUSTED",
    "Resource exhausted",
    "bad_alloc",
    "could not create a memory object",  # oneDNN
)
MAX_LINE = 300
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether a backend, NumPy or Python says with this error that memory ran out.

    Example:

    >>> ran_out_of_memory(MemoryError()), ran_out_of_memory(ValueError("a wrong shape"))
    (True, False)
    """
    if isinstance(error, USRNError):
        return False
    if isinstance(error, MemoryError) or type(error).__name__ in CLASSES:
        return True
    return any(word in str(error) for word in WORDS)


@contextlib.contextmanager
def memory_errors(doing: str, *, needs: str, hint: Callable[[], str]) -> Iterator[None]:
    """Turn a backend's error that memory ran out into one that says what to do.

    Args:
        doing: What was being done, such as `3-usrn, 8 labelled images of 320 x 320`.
        needs: What it needs and what there was.
        hint: Tells what to do next; asked only then.

    Raises:
        OutOfMemoryError: In place of the backend's error.

    Example:

    >>> with memory_errors("a step of 8 images", needs="it needs 9 GB", hint=lambda: "Take 4 images."):
    ...     raise MemoryError("8 GB were asked for")
    Traceback (most recent call last):
    usrn_keras.errors.OutOfMemoryError: memory ran out: a step of 8 images
      - it needs 9 GB
      - MemoryError: 8 GB were asked for
    Take 4 images.
    """
    try:
        yield
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        faults = [needs, _said(error)]
        raise OutOfMemoryError(f"memory ran out: {doing}", faults=faults, hint=hint()) from error


def _said(error: BaseException) -> str:
    """The line that tells of memory, or the first one: Keras and allocators write pages around it."""
    lines = COLOURS.sub("", str(error)).strip().splitlines() or [""]
    line = next((line for line in lines if any(word in line for word in WORDS)), lines[0])
    return f"{type(error).__name__}: {line[:MAX_LINE]}" if line else type(error).__name__
