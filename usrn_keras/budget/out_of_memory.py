"""Detect out-of-memory errors of backends, and convert them to `OutOfMemoryError` with advice."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

from usrn_keras.errors import OutOfMemoryError, USRNError

# Names of the backends' error classes, so that no backend needs to be imported.
CLASSES = {"OutOfMemoryError", "ResourceExhaustedError", "_ArrayMemoryError"}
# PyTorch on a CPU and XLA raise general error classes.
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
    """Whether an error of a backend, NumPy or Python means that memory ran out.

    Example:

    >>> ran_out_of_memory(MemoryError()), ran_out_of_memory(ValueError("a wrong shape"))
    (True, False)
    """
    if isinstance(error, USRNError):
        return False
    if isinstance(error, MemoryError) or type(error).__name__ in CLASSES:
        return True
    return memory_words(str(error))


def memory_words(text: str) -> bool:
    """Whether a text contains an out-of-memory message of a backend."""
    return any(word in text for word in WORDS)


@contextlib.contextmanager
def memory_errors(doing: str, figures: Callable[[], str], hint: str) -> Iterator[None]:
    """Convert out-of-memory errors of a backend to `OutOfMemoryError` with advice.

    Args:
        doing: Description of the work, such as `3-usrn, 8 labelled images of 320 x 320`.
        figures: Function that returns used and available memory; called only after an error.
        hint: Hint of the error.

    Raises:
        OutOfMemoryError: If the backend runs out of memory.

    Example:

    >>> with memory_errors("a step of 8 images", lambda: "8 GB were used", "Use 4 images."):
    ...     raise MemoryError("cannot allocate 1 GB")
    Traceback (most recent call last):
    usrn_keras.errors.OutOfMemoryError: memory ran out: a step of 8 images
      - 8 GB were used
      - MemoryError: cannot allocate 1 GB
    Use 4 images.
    """
    try:
        yield
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        errors = [figures(), memory_line(error)]
        raise OutOfMemoryError(f"memory ran out: {doing}", errors=errors, hint=hint) from error


def memory_line(error: BaseException) -> str:
    """Extract the line of an error that mentions memory, or its first line; Keras adds long explanations."""
    lines = COLOURS.sub("", str(error)).strip().splitlines() or [""]
    line = next(filter(memory_words, lines), lines[0])
    return f"{type(error).__name__}: {line[:MAX_LINE]}" if line else type(error).__name__
