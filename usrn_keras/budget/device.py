"""The device that the current backend trains on, and the memory that it has for us."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass

import keras

from usrn_keras.budget.room import free_memory, process_memory
from usrn_keras.machine import nvidia_gpus


@dataclass(frozen=True)
class Device:
    """What training runs on.

    Args:
        backend: `torch`, `jax` or `tensorflow`.
        gpu: Whether it is a GPU.
        room: Bytes that training may use in all, or None where they are not told: of a GPU, its free memory
            and what the backend holds of it; of a CPU, free memory and what this process holds.
    """

    backend: str
    gpu: bool
    room: int | None

    def __str__(self) -> str:
        return f"{self.backend}, {'GPU' if self.gpu else 'CPU'}"


def this_device() -> Device:
    """The device of the current Keras backend."""
    backend = keras.backend.backend()
    look = {"torch": _gpu_of_torch, "jax": _gpu_of_jax, "tensorflow": _gpu_of_tensorflow}[backend]
    has_gpu, room = look(importlib.import_module(backend))
    if has_gpu:
        return Device(backend, True, room)
    free, held = free_memory(), process_memory()
    return Device(backend, False, None if free is None or held is None else free + held)


def _gpu_of_torch(torch) -> tuple[bool, int | None]:
    if not torch.cuda.is_available():
        return False, None
    free, _ = torch.cuda.mem_get_info()
    return True, free + torch.cuda.memory_reserved()


def _gpu_of_jax(jax) -> tuple[bool, int | None]:
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return False, None
    return True, (device.memory_stats() or {}).get("bytes_limit")  # of what JAX has taken in advance


def _gpu_of_tensorflow(tf) -> tuple[bool, int | None]:
    if not tf.config.list_physical_devices("GPU"):
        return False, None
    visible, *_ = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    gpus = nvidia_gpus(visible)
    if not gpus or gpus[0].free is None:
        return True, None
    return True, gpus[0].free + tf.config.experimental.get_memory_info("GPU:0")["current"]
