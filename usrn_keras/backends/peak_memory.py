"""The most memory that training takes: on a GPU what the backend has allocated there, else of the process."""

from __future__ import annotations

from typing import Any

import keras

from usrn_keras.machine import forget_peak_memory, peak_memory


class PeakMemory:
    """The peak since it was made, as far as the system can tell.

    Where a peak cannot be reset (JAX on a GPU, systems other than Linux), it is that of the process.
    """

    def __init__(self) -> None:
        self._gpu = _GPUS[keras.backend.backend()]()
        if self._gpu is None:
            forget_peak_memory()

    def peak(self) -> int | None:
        """Bytes, or None where it is not told."""
        return peak_memory() if self._gpu is None else self._gpu()


def _torch_gpu() -> Any:
    import torch

    if not torch.cuda.is_available():
        return None
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.max_memory_allocated


def _jax_gpu() -> Any:
    import jax

    device = jax.local_devices()[0]
    return None if device.platform == "cpu" else lambda: device.memory_stats()["peak_bytes_in_use"]


def _tensorflow_gpu() -> Any:
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return None
    tf.config.experimental.reset_memory_stats("GPU:0")
    return lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"]


_GPUS = {"torch": _torch_gpu, "jax": _jax_gpu, "tensorflow": _tensorflow_gpu}
