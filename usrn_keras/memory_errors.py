"""Recognize that memory ran out, from the errors of any backend, NumPy or Python."""

from __future__ import annotations

import signal

from usrn_keras.errors import USRNError

# Names of the backends' error classes, so that no backend needs to be imported.
CLASSES = {"OutOfMemoryError", "ResourceExhaustedError", "_ArrayMemoryError"}
# PyTorch on a CPU, XLA and OpenCV raise general error classes.
WORDS = (
    "can't allocate memory",
    "DefaultCPUAllocator",
    "not enough memory",
    "CUDA out of memory",
    "RESOURCE_EXHAUSTED",
    "Resource exhausted",
    "bad_alloc",
    "could not create a memory object",  # oneDNN
    "Insufficient memory",  # OpenCV
    "MemoryError",  # in the traceback of a worker
)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out.

    Example:

    >>> ran_out_of_memory(MemoryError()), ran_out_of_memory(ValueError("a wrong shape"))
    (True, False)
    """
    if isinstance(error, USRNError):
        return False
    known = isinstance(error, MemoryError) or type(error).__name__ in CLASSES
    # The system kills a process when memory runs out; nobody else kills a worker.
    killed = type(error).__name__ == "WorkerError" and error.code == -signal.SIGKILL
    return known or killed or mentions_memory(str(error))


def mentions_memory(text: str) -> bool:
    """Whether a text contains an out-of-memory message of a backend."""
    return any(word in text for word in WORDS)
