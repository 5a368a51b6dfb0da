"""All that differs between the Keras backends: how a graph of layers runs, and how a step is taken.

The layers stay those of Keras, so a saved network needs nothing of this; it only runs faster here. Each
backend has one file with the same names.
"""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import keras

from usrn_keras.backends.memory import release_memory
from usrn_keras.files import cache_folder

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

CompiledStep = current.CompiledStep
compile_forward = current.compile_forward
device_peak_memory = current.device_peak_memory
no_gradient = current.no_gradient
on_accelerator = current.on_accelerator
run_graph = current.run_graph
train_step = current.train_step


def prepare_backend() -> None:
    """Set the backend of this process up for training; call it before the backend computes anything.

    - JAX keeps compiled programs in the cache folder, so that the next run of the same network and
      sizes starts sooner. `JAX_COMPILATION_CACHE_DIR` chooses another folder.
    - TensorFlow runs one operation at a time on a CPU, each on all cores.

    The library itself does not call it: a process may have settings of its own.
    """
    current.prepare(programs_folder())


def programs_folder() -> Path:
    """The folder of compiled programs, one for each kind of processor: a home may be shared."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        kind = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        kind = platform.processor() or platform.machine()
    return cache_folder() / "programs" / hashlib.sha256(kind.encode()).hexdigest()[:12]


__all__ = [
    "CompiledStep",
    "compile_forward",
    "device_peak_memory",
    "no_gradient",
    "on_accelerator",
    "prepare_backend",
    "programs_folder",
    "release_memory",
    "run_graph",
    "train_step",
]
