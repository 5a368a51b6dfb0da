"""Peak memory of training: the allocations of the backend on a GPU, otherwise the memory of the process."""

from __future__ import annotations

from usrn_keras.backends import device_peak_memory
from usrn_keras.machine import forget_peak_memory, peak_memory


class PeakMemory:
    """Measures the peak memory since the object was created.

    If the system cannot reset the peak (JAX on a GPU, systems other than Linux), it is that of the process.
    """

    def __init__(self) -> None:
        self._gpu = device_peak_memory()
        if self._gpu is None:
            forget_peak_memory()

    def peak(self) -> int | None:
        """Peak memory in bytes; None if the system does not provide it."""
        return peak_memory() if self._gpu is None else self._gpu()
