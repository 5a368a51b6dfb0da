"""What a device has to say to a benchmark, by library: its name, its peak memory, that it is done.

On a CPU memory is what is resident of the process; on a GPU, what the library has allocated there.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Literal

from usrn_keras.machine import forget_peak_memory, peak_memory


class Host:
    """The CPU: libraries are done when they return a number."""

    def name(self) -> str:
        return "cpu"

    def wait(self) -> None:
        pass

    def peak_memory(self) -> int:
        """Most bytes: since the start, or since the last reset."""
        return peak_memory()

    def reset_peak_memory(self) -> bool:
        """Let the peak be what is held now; False where the system (not Linux, a sandbox) cannot.

        What was freed, such as a compiler's memory, is handed back before, where the C library can.
        """
        with contextlib.suppress(AttributeError):  # of glibc alone
            ctypes.CDLL(None).malloc_trim(0)
        return forget_peak_memory()


class TorchGPU(Host):
    """A GPU under PyTorch."""

    def __init__(self) -> None:
        import torch

        self._cuda = torch.cuda

    def name(self) -> str:
        return self._cuda.get_device_name()

    def wait(self) -> None:
        self._cuda.synchronize()

    def peak_memory(self) -> int:
        return self._cuda.max_memory_allocated()

    def reset_peak_memory(self) -> bool:
        self._cuda.reset_peak_memory_stats()
        return True


class JaxGPU(Host):
    """A GPU under JAX; its peak cannot be reset."""

    def __init__(self) -> None:
        import jax

        self._jax = jax
        self._device = jax.local_devices(backend="gpu")[0]

    def name(self) -> str:
        return self._device.device_kind

    def wait(self) -> None:
        self._jax.block_until_ready(self._jax.live_arrays())

    def peak_memory(self) -> int:
        return self._device.memory_stats()["peak_bytes_in_use"]

    def reset_peak_memory(self) -> bool:
        return False


class TensorFlowGPU(Host):
    """A GPU under TensorFlow."""

    def __init__(self) -> None:
        import tensorflow as tf

        self._config = tf.config
        self._device = tf.config.list_physical_devices("GPU")[0]

    def name(self) -> str:
        return self._config.experimental.get_device_details(self._device)["device_name"]

    def peak_memory(self) -> int:
        return self._config.experimental.get_memory_info("GPU:0")["peak"]

    def reset_peak_memory(self) -> bool:
        self._config.experimental.reset_memory_stats("GPU:0")
        return True


GPUS = {"torch": TorchGPU, "jax": JaxGPU, "tensorflow": TensorFlowGPU}


def device_of(library: str, kind: Literal["cpu", "gpu"]) -> Host:
    """The device; an error of the library if it has none of that kind."""
    return Host() if kind == "cpu" else GPUS[library]()


def variables(kind: Literal["cpu", "gpu"]) -> dict[str, str]:
    """Environment of a process that is to use the device, to be set before its libraries are loaded."""
    if kind == "cpu":
        return {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
