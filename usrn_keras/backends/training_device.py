"""The device of the current backend and the memory available for training."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass

import keras

from usrn_keras.machine import available_memory, nvidia_gpus, process_memory


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
    backend = keras.backend.backend()
    look = {"torch": _gpu_of_torch, "jax": _gpu_of_jax, "tensorflow": _gpu_of_tensorflow}[backend]
    has_gpu, room = look(importlib.import_module(backend))
    return TrainingDevice(backend, has_gpu, room if has_gpu else available_memory() + process_memory())


def _gpu_of_torch(torch) -> tuple[bool, int | None]:
    if not torch.cuda.is_available():
        return False, None
    free, _ = torch.cuda.mem_get_info()
    return True, free + torch.cuda.memory_reserved()


def _gpu_of_jax(jax) -> tuple[bool, int | None]:
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return False, None
    return True, (device.memory_stats() or {}).get("bytes_limit")  # the limit of the preallocated memory


def _gpu_of_tensorflow(tf) -> tuple[bool, int | None]:
    if not tf.config.list_physical_devices("GPU"):
        return False, None
    visible, *_ = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    gpus = nvidia_gpus(visible)
    if not gpus or gpus[0].free is None:
        return True, None
    return True, gpus[0].free + tf.config.experimental.get_memory_info("GPU:0")["current"]
