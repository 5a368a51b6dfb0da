"""Code that depends on the Keras backend: running a graph of layers, and the training step.

The layers are those of Keras, so a saved network does not depend on this package, which only runs it faster.
There is one file per backend, all with the same names; the layers of PyTorch are in `torch_layers`.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import keras

from usrn_keras.backends.joint_views import joint_views
from usrn_keras.backends.steps import release_memory
from usrn_keras.files import cache_folder
from usrn_keras.losses import blocks

if keras.backend.backend() == "torch":
    from usrn_keras.backends import torch as current
elif keras.backend.backend() == "tensorflow":
    from usrn_keras.backends import tensorflow as current
elif keras.backend.backend() == "jax":
    from usrn_keras.backends import jax as current
else:
    raise ImportError(
        "usrn_keras runs on the Keras backends tensorflow, jax and torch, received "
        f"{keras.backend.backend()!r}; set KERAS_BACKEND to one of them"
    )

blocks.on_gpu = current.on_accelerator  # sets the size of the blocks; losses import no backend

COMPILES: bool = current.COMPILES  # whether the first step of a shape compiles a program
CompiledStep = current.CompiledStep
available_gpu_memory = current.available_gpu_memory
compile_forward = current.compile_forward
device_names = current.device_names
fetch = current.fetch
gpu_peak_memory = current.gpu_peak_memory
input_gradient = current.input_gradient
join_ranks = current.join_ranks
leave_ranks = current.leave_ranks
number_of_devices = current.number_of_devices
no_gradient = current.no_gradient
on_accelerator = current.on_accelerator
run_graph = current.run_graph
set_deterministic = current.set_deterministic
train_step = current.train_step
without_program_cache = current.without_program_cache


def prepare_backend() -> None:
    """Configure the backend of this process for training. Call it before the backend computes anything.

    - JAX stores compiled programs in the cache folder, so that the next run of the same network and sizes
      starts faster. Set `JAX_COMPILATION_CACHE_DIR` to choose another folder.
    - TensorFlow runs one operation at a time on a CPU, each on all cores, and takes GPU memory as needed.
    - On a GPU, every backend multiplies float32 matrices in TensorFloat-32.

    The command line and the benchmarks call it; the library does not, because a process may have its own
    settings. `set_deterministic` chooses between the fastest kernels of a GPU and repeatable ones.
    """
    current.prepare(programs_folder())


def cache_programs() -> None:
    """Store compiled programs in the cache folder on JAX, as `prepare_backend` does, and nothing else."""
    current.cache_programs(programs_folder())


def programs_folder() -> Path:
    """Folder of compiled programs, separate for each processor type: machines may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        kind = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        kind = platform.processor() or platform.machine()
    return cache_folder() / "programs" / hashlib.sha256(kind.encode()).hexdigest()[:12]


__all__ = [
    "COMPILES",
    "CompiledStep",
    "available_gpu_memory",
    "cache_programs",
    "compile_forward",
    "device_names",
    "fetch",
    "gpu_peak_memory",
    "input_gradient",
    "join_ranks",
    "joint_views",
    "leave_ranks",
    "no_gradient",
    "number_of_devices",
    "on_accelerator",
    "prepare_backend",
    "programs_folder",
    "release_memory",
    "run_graph",
    "set_deterministic",
    "train_step",
    "without_program_cache",
]
