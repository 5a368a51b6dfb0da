"""Errors of backends that memory ran out, turned into one that says what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

from usrn_keras.errors import OutOfMemoryError, USRNError

# Names of the classes that backends raise, so that no backend needs to be imported.
CLASSES = {"OutOfMemoryError", "ResourceExhaustedError", "_ArrayMemoryError"}
# Errors of PyTorch on a CPU and of XLA have no class of their own.
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
    """Whether a text is that of a backend whose memory ran out."""
    return any(word in text for word in WORDS)


@contextlib.contextmanager
def memory_errors(doing: str, figures: Callable[[], str], hint: str) -> Iterator[None]:
    """Turn a backend's error that memory ran out into one that says what to do.

    Args:
        doing: What was being done, such as `3-usrn, 8 labelled images of 320 x 320`.
        figures: Returns what was used and what there was; called only after an error.
        hint: What to do next.

    Raises:
        OutOfMemoryError: In place of the backend's error.

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
        faults = [figures(), said_of_memory(error)]
        raise OutOfMemoryError(f"memory ran out: {doing}", faults=faults, hint=hint) from error


def said_of_memory(error: BaseException) -> str:
    """The line of an error that mentions memory, or its first one: Keras writes pages around it."""
    lines = COLOURS.sub("", str(error)).strip().splitlines() or [""]
    line = next(filter(memory_words, lines), lines[0])
    return f"{type(error).__name__}: {line[:MAX_LINE]}" if line else type(error).__name__
