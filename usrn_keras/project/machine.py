"""What a recipe is proposed for: memory, cores and speed, found without loading a backend."""

from __future__ import annotations

from dataclasses import dataclass

from usrn_keras.machine.cores import look_at_cores
from usrn_keras.machine.memory import free_memory
from usrn_keras.machine.nvidia import gpu_memory, has_nvidia_gpu
from usrn_keras.machine.speed import matrix_product_rate

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
    found = gpu_memory() if use_gpu else free_memory()
    memory = found or (ASSUMED_GPU_MEMORY if use_gpu else ASSUMED_MEMORY)
    flops = 0.0 if use_gpu else matrix_product_rate()
    return Machine(use_gpu, memory, found is not None, look_at_cores().usable, flops)
