"""What this machine can do, found without loading a backend."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.budget.room import free_memory, gpu_memory

GIB = 2**30
ASSUMED_MEMORY = 8 * GIB  # where the system does not tell
ASSUMED_GPU_MEMORY = 16 * GIB


@dataclass(frozen=True)
class Machine:
    """What training will run on.

    Args:
        gpu: Whether an NVIDIA GPU is to be used.
        memory: Bytes that training may use: free memory, or that of the GPU.
        memory_known: Whether `memory` was found rather than assumed.
        cores: Cores.
        flops: Floating-point operations per second of a matrix product on all cores; 0 for a GPU, which
            is not measured.
    """

    gpu: bool
    memory: int
    memory_known: bool
    cores: int
    flops: float


def look_at_machine(gpu: bool | None = None) -> Machine:
    """The machine as it is; `gpu` None looks for the device file of an NVIDIA GPU."""
    use_gpu = has_nvidia_gpu() if gpu is None else gpu
    found = gpu_memory() if use_gpu else free_memory()
    memory = found or (ASSUMED_GPU_MEMORY if use_gpu else ASSUMED_MEMORY)
    flops = 0.0 if use_gpu else matrix_product_rate()
    return Machine(use_gpu, memory, found is not None, os.cpu_count() or 1, flops)


def has_nvidia_gpu() -> bool:
    """Whether the driver shows a device."""
    return any(Path(path).exists() for path in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg"))


def matrix_product_rate(size: int = 768, seconds: float = 0.15) -> float:
    """Operations per second of a float32 matrix product, the best of several, after a first one."""
    a = np.ones((size, size), np.float32)
    best, spent = 0.0, 0.0
    a @ a
    while spent < seconds:
        started = time.perf_counter()
        a @ a
        took = time.perf_counter() - started
        best, spent = max(best, 2 * size**3 / took), spent + took
    return best
