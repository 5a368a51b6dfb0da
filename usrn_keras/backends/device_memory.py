"""Memory of the device that training runs on: how much is available, and the peak of what training used."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from usrn_keras.backends import available_gpu_memory, gpu_peak_memory, on_accelerator
from usrn_keras.machine import available_memory, forget_peak_memory, peak_memory, process_memory


@dataclass(frozen=True)
class TrainingDevice:
    """The device that training runs on.

    Args:
        backend: Name of the backend: `torch`, `jax` or `tensorflow`.
        gpu: Whether the device is a GPU.
        room: Memory available for training in bytes, or None if unknown. On a GPU: its free memory plus
            the memory that the backend holds. On a CPU: the available memory plus that of this process.
    """

    backend: str
    gpu: bool
    room: int | None


def training_device() -> TrainingDevice:
    """Find the device of the current Keras backend."""
    gpu = on_accelerator()
    room = available_gpu_memory() if gpu else available_memory() + process_memory()
    return TrainingDevice(keras.backend.backend(), gpu, room)


class PeakMemory:
    """Measures the peak memory since the object was created.

    On a GPU this is the memory that the backend allocated, otherwise the memory of the process. If the system
    cannot reset the peak (JAX on a GPU, systems other than Linux), it is that of the process since its start.
    """

    def __init__(self) -> None:
        self._peak = gpu_peak_memory()
        if self._peak is None:
            forget_peak_memory()
            self._peak = peak_memory

    def peak(self) -> int:
        """Peak memory in bytes."""
        return self._peak()
