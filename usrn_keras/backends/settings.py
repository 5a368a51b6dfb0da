"""Settings of a backend for a process that trains: what it keeps between runs, how it schedules."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import keras

from usrn_keras.cache import cache_folder


def prepare_backend() -> None:
    """Set the backend of this process up for training; call it before the backend does anything.

    - JAX keeps compiled programs in the cache folder, so that the next run of the same network and
      sizes starts sooner. `JAX_COMPILATION_CACHE_DIR` chooses another folder.
    - TensorFlow runs one operation at a time on a CPU, each on all cores: two thirds of the time of a step,
      and fewer results alive at once.

    The library itself does not call it: a process may have settings of its own.
    """
    if keras.backend.backend() == "jax":
        _keep_jax_programs()
    elif keras.backend.backend() == "tensorflow":
        _one_operation_at_a_time()


def _keep_jax_programs() -> None:
    import jax

    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(programs_folder()))
    # Building a network compiles hundreds of small programs, one for each shape of weights.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def programs_folder() -> Path:
    """Where compiled programs are kept, one folder for each kind of processor: a home may be shared."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        kind = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        kind = platform.processor() or platform.machine()
    return cache_folder() / "programs" / hashlib.sha256(kind.encode()).hexdigest()[:12]


def _one_operation_at_a_time() -> None:
    import tensorflow as tf

    if "TF_NUM_INTEROP_THREADS" in os.environ or tf.config.list_physical_devices("GPU"):
        return
    try:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return  # TensorFlow has begun to compute, and keeps what it began with
