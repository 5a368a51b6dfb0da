"""Peak memory of training: on a GPU what the backend has allocated there, otherwise that of the process."""

from __future__ import annotations

from usrn_keras.backends import device_peak_memory
from usrn_keras.machine import forget_peak_memory, peak_memory


class PeakMemory:
    """The peak since this object was created, as far as the system can tell.

    Where a peak cannot be reset (JAX on a GPU, systems other than Linux), it is that of the process.
    """

    def __init__(self) -> None:
        self._gpu = device_peak_memory()
        if self._gpu is None:
            forget_peak_memory()

    def peak(self) -> int | None:
        """Bytes, or None where the system does not say."""
        return peak_memory() if self._gpu is None else self._gpu()
