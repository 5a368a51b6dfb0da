"""What a recipe is proposed for: memory, cores and speed, found without loading a backend."""

from __future__ import annotations

from dataclasses import dataclass

from usrn_keras.machine import (
    available_memory,
    has_nvidia_gpu,
    matrix_product_rate,
    nvidia_gpus,
    usable_cores,
)

GIB = 2**30
ASSUMED_GPU_MEMORY = 16 * GIB  # where the driver does not report it


@dataclass(frozen=True)
class Machine:
    """What training will run on.

    Args:
        gpu: Whether an NVIDIA GPU is to be used.
        memory: Bytes that training may use: free memory, or that of the GPU.
        memory_known: Whether `memory` was found rather than assumed.
        cores: Cores that this process may use.
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
    if not use_gpu:
        return Machine(False, available_memory(), True, usable_cores(), matrix_product_rate())
    gpus = nvidia_gpus()
    found = gpus[0].total if gpus else None
    return Machine(True, found or ASSUMED_GPU_MEMORY, found is not None, usable_cores(), 0.0)
