"""Run by path in a process of its own, `child.py BACKEND with_keras`: loads one backend, tells what it sees.

Imports nothing of usrn_keras, so that whatever breaks here is the backend's. On standard output it writes
one JSON object. With `with_keras` it loads Keras too, waits for a line on standard input, and then times a
convolution forward and backward, in float32 and in bfloat16, on the device that training would use.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

CPU_SHAPE = (4, 32, 128)  # images, height and width, channels
GPU_SHAPE = (16, 64, 256)
SECONDS = 0.3  # of timing, for each type of number


def main() -> None:
    """Load, look, time, and report; a backend that cannot be loaded ends this with its traceback."""
    told = os.dup(1)
    os.dup2(2, 1)  # backends print: that must not get between the JSON
    name, with_keras = sys.argv[1], sys.argv[2] == "with_keras"
    started = time.process_time()  # others are loaded at the same time
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        backend = BACKENDS[name]()
        report: dict[str, Any] = {"seconds": round(time.process_time() - started, 2)}
        report |= _tried("devices", lambda: list(backend.devices()))
        report["tf32"] = backend.tf32()
    report["warnings"] = [str(warning.message).strip() for warning in caught if _is_of_gpu(warning)]
    if with_keras:
        import keras

        report["keras"] = keras.__version__
        sys.stdin.readline()
        report |= _tried("flops", lambda: _rates(backend, report.get("devices", [])))
    os.write(told, json.dumps(report).encode())


def _tried(key: str, function: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {key: function()}
    except Exception as error:  # reported, whatever it is
        last = str(error).strip().splitlines()[:1]
        return {f"{key}_error": ": ".join([type(error).__name__, *last])}


def _is_of_gpu(warning: warnings.WarningMessage) -> bool:
    return any(word in str(warning.message).upper() for word in ("CUDA", "GPU", "NVIDIA"))


def _rates(backend: Any, devices: list[dict]) -> dict[str, float]:
    images, size, channels = GPU_SHAPE if devices and devices[0]["kind"] == "gpu" else CPU_SHAPE
    # A backward pass costs twice the forward one; an operation is a product or a sum.
    operations = 3 * 2 * 9 * images * size**2 * channels**2
    rates = {}
    for kind in ("float32", "bfloat16"):
        run = backend.convolution(images, size, channels, kind)
        run()  # compiles, chooses algorithms
        best, spent = float("inf"), 0.0
        while spent < SECONDS:
            started = time.perf_counter()
            run()
            took = time.perf_counter() - started
            best, spent = min(best, took), spent + took
        rates[kind] = operations / best
    return rates


class Torch:
    """PyTorch."""

    def __init__(self) -> None:
        import torch

        self.torch = torch

    def devices(self) -> Iterator[dict]:
        cuda = self.torch.cuda
        for index in range(cuda.device_count() if cuda.is_available() else 0):
            facts = cuda.get_device_properties(index)
            capability = f"{facts.major}.{facts.minor}"
            yield _device("gpu", facts.name, facts.total_memory, capability)
        if self.torch.backends.mps.is_available():
            yield _device("gpu", "Apple GPU (MPS)")
        yield _device("cpu", "CPU")

    def tf32(self) -> bool:
        return bool(self.torch.backends.cudnn.allow_tf32)

    def convolution(self, images: int, size: int, channels: int, kind: str) -> Callable[[], Any]:
        torch = self.torch
        where = self._where()
        options = {"dtype": getattr(torch, kind), "device": where, "requires_grad": True}
        x = torch.ones(images, channels, size, size, **options)
        kernel = torch.ones(channels, channels, 3, 3, **options)

        def run() -> None:
            torch.nn.functional.conv2d(x, kernel, padding=1).sum().backward()
            if where != "cpu":
                getattr(torch, where).synchronize()

        return run

    def _where(self) -> str:
        """The device that Keras chooses."""
        if self.torch.backends.mps.is_available():
            return "mps"
        return "cuda" if self.torch.cuda.is_available() else "cpu"


class Jax:
    """JAX."""

    def __init__(self) -> None:
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        import jax

        self.jax = jax

    def devices(self) -> Iterator[dict]:
        for device in self.jax.devices():
            kind = device.platform if device.platform in ("cpu", "tpu") else "gpu"
            memory = None if kind == "cpu" else (device.memory_stats() or {}).get("bytes_limit")
            capability = getattr(device, "compute_capability", None)
            yield _device(kind, "CPU" if kind == "cpu" else device.device_kind, memory, capability)

    def tf32(self) -> bool:
        return self.jax.config.jax_default_matmul_precision in (None, "default", "tensorfloat32")

    def convolution(self, images: int, size: int, channels: int, kind: str) -> Callable[[], Any]:
        jax, jnp = self.jax, self.jax.numpy
        x, kernel = jnp.ones((images, size, size, channels), kind), jnp.ones((3, 3, channels, channels), kind)
        order = ("NHWC", "HWIO", "NHWC")

        def total(x: Any, kernel: Any) -> Any:
            result = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=order)
            return result.sum().astype("float32")

        gradient = jax.jit(jax.grad(total, (0, 1)))
        return lambda: jax.block_until_ready(gradient(x, kernel))


class TensorFlow:
    """TensorFlow."""

    def __init__(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
        import tensorflow as tf

        self.tf = tf

    def devices(self) -> Iterator[dict]:
        config = self.tf.config
        for gpu in config.list_physical_devices("GPU"):
            config.experimental.set_memory_growth(gpu, True)
            facts = config.experimental.get_device_details(gpu)
            capability = ".".join(map(str, facts.get("compute_capability", ()))) or None
            yield _device("gpu", facts.get("device_name", gpu.name), None, capability)
        yield _device("cpu", "CPU")

    def tf32(self) -> bool:
        return bool(self.tf.config.experimental.tensor_float_32_execution_enabled())

    def convolution(self, images: int, size: int, channels: int, kind: str) -> Callable[[], Any]:
        tf = self.tf
        x, kernel = tf.ones((images, size, size, channels), kind), tf.ones((3, 3, channels, channels), kind)

        @tf.function(jit_compile=True)
        def gradient() -> Any:
            with tf.GradientTape() as tape:
                tape.watch([x, kernel])
                total = tf.reduce_sum(tf.nn.conv2d(x, kernel, 1, "SAME"))
            return [tf.reduce_sum(part) for part in tape.gradient(total, [x, kernel])]

        return lambda: [part.numpy() for part in gradient()]


def _device(kind: str, name: str, memory: int | None = None, capability: Any = None) -> dict:
    text = str(capability or "")
    numeric = text.replace(".", "", 1).isdigit()  # those of other makers are names
    return {"kind": kind, "name": name, "memory": memory, "capability": text if numeric else None}


BACKENDS = {"torch": Torch, "jax": Jax, "tensorflow": TensorFlow}

if __name__ == "__main__":
    main()
