"""Checks of `usrn doctor` in worker processes: imports, devices, and speed of small and real steps."""

from __future__ import annotations

import contextlib
import importlib
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Send = Callable[[dict], None]


def import_packages(order: dict, send: Send) -> dict:
    """Import the `modules` of the order; return the reasons of failed imports as `broken`."""
    broken = {}
    for module in order["modules"]:
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken package raises anything
            broken[module] = ": ".join([type(error).__name__, *str(error).strip().splitlines()[-1:]])
    return {"broken": broken}


def load_backend(order: dict, send: Send) -> dict:
    """Load the backend `name`; return its `devices`, the training device first, and its `warnings`."""
    started = time.process_time()  # CPU time, because backends are loaded in parallel
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        devices = DEVICES[order["name"]]()
    said = [str(warning.message).strip() for warning in caught]
    return {"devices": devices, "seconds": round(time.process_time() - started, 2), "warnings": said}


def _torch_devices() -> list[dict]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = map(torch.cuda.get_device_properties, range(count))
    apple = [_device("gpu", "Apple GPU (MPS)")] * torch.backends.mps.is_available()
    return [*(_device("gpu", gpu.name, gpu.total_memory) for gpu in gpus), *apple, _device("cpu", "CPU")]


def _jax_devices() -> list[dict]:
    import jax

    devices = []
    for device in jax.devices():
        if device.platform == "cpu":
            devices.append(_device("cpu", "CPU"))
            continue
        kind = "tpu" if device.platform == "tpu" else "gpu"
        devices.append(_device(kind, device.device_kind, (device.memory_stats() or {}).get("bytes_limit")))
    return devices


def _tensorflow_devices() -> list[dict]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = (tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus)
    return [*(_device("gpu", name) for name in names), _device("cpu", "CPU")]


def _device(kind: str, name: str, memory: int | None = None) -> dict:
    return {"kind": kind, "name": name, "memory": memory}


DEVICES = {"torch": _torch_devices, "jax": _jax_devices, "tensorflow": _tensorflow_devices}


def time_small_steps(order: dict, send: Send) -> dict:
    """Time training steps of 3x3 convolutions for `seconds`, with sizes for a `gpu` or a CPU.

    Returns:
        Floating-point operations per second with `float32` and with `mixed_bfloat16`.
    """
    import keras
    import numpy as np

    images, size, channels = (16, 64, 256) if order["gpu"] else (4, 32, 128)
    x, y = np.ones((images, size, size, 3), "float32"), np.zeros((images, channels), "float32")
    # Forward pass, and backward passes to kernel and input; each multiply-add counts as two operations.
    operations = 2 * 3 * 2 * 9 * images * size**2 * channels**2
    rates = {}
    for precision in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(precision)
        convolutions = [keras.layers.Conv2D(channels, 3, padding="same") for _ in range(3)]
        layers = [keras.Input((size, size, 3)), *convolutions, keras.layers.GlobalAveragePooling2D()]
        model = keras.Sequential(layers)
        model.compile(optimizer="sgd", loss="mean_squared_error")
        rates[precision] = operations / _shortest(
            lambda model=model: model.train_on_batch(x, y), order["seconds"]
        )
    return rates


def time_generated_images(order: dict, send: Send) -> dict:
    """Time an input pipeline on generated JPEG files for `seconds`; return the result of `_loader_rate`.

    The order's `images` are number, height and width of the files.
    """
    import cv2
    import numpy as np

    from usrn_keras.data import Batches, Sample, WeakView

    count, height, width = order["images"]
    rng, samples = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):  # similar to photographs: large shapes with noise
            shapes = rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)
            image = cv2.resize(shapes, (width, height), interpolation=cv2.INTER_CUBIC)
            image = np.clip(image + rng.normal(0, 6, (height, width, 1)), 0, 255).astype(np.uint8)
            mask = cv2.resize(shapes[..., 0] // 32, (width, height), interpolation=cv2.INTER_NEAREST)
            sample = Sample(str(index), Path(folder, f"{index}.jpg"), Path(folder, f"{index}.png"))
            cv2.imwrite(str(sample.image), image)
            cv2.imwrite(str(sample.mask), mask)
            samples.append(sample)
        view = WeakView(crop_size=320, long_side=400)
        batches = Batches(
            labelled=samples, unlabelled=samples, batch_labelled=4, batch_unlabelled=4,
            weak_labelled=view, weak_unlabelled=view, seed=0, workers=2, cache_bytes=0,
        )  # fmt: skip
        return _loader_rate(batches, order["seconds"])


def time_recipe(order: dict, send: Send) -> dict:
    """Time the input pipeline and the Baseline of a `recipe` with `overrides`, each for `seconds`.

    Sends the rate of the `loader` first (see `_loader_rate`). Weights are random, so nothing is downloaded.

    Returns:
        `images_per_second` and `seconds` of a training step.
    """
    from usrn_keras.backends import CompiledStep, prepare_backend
    from usrn_keras.data import load_dataset
    from usrn_keras.data.recipe_batches import build_batches
    from usrn_keras.methods.base import baseline_stage
    from usrn_keras.recipe import load_recipe
    from usrn_keras.stages.build import build_method

    prepare_backend()
    recipe = load_recipe(order["recipe"], order["overrides"])
    dataset = load_dataset(recipe.data)
    batches = build_batches(recipe, dataset, unlabelled=bool(dataset.unlabelled))
    send({"loader": _loader_rate(batches, order["seconds"])})
    pretrained = recipe.network.weights != "imagenet"
    model = build_method(recipe, baseline_stage(recipe), dataset, pretrained=pretrained)
    step, batch = CompiledStep(model), build_batches(recipe, dataset, unlabelled=False).batch(0)
    # Converting the loss to a number waits for the device.
    seconds = _shortest(lambda: float(step(batch)["loss"]), order["seconds"])
    return {"images_per_second": recipe.training.batch_labelled / seconds, "seconds": seconds}


def _loader_rate(batches: Any, seconds: float) -> dict:
    """Measure `images_per_second` over at least two batches; also return `batch` sizes and `workers`."""
    images, started, spent = 0, time.perf_counter(), 0.0
    with contextlib.closing(batches.iterate(0, 10**6)) as stream:
        for step, batch in enumerate(stream):
            images += len(batch["labelled"]) + len(batch.get("weak", ()))
            spent = time.perf_counter() - started
            if step and spent >= seconds:
                break
    return {
        "images_per_second": images / spent,
        "batch": [batches.batch_labelled, batches.batch_unlabelled],
        "workers": batches.workers,
    }


def _shortest(function: Callable[[], Any], seconds: float) -> float:
    """Return the shortest time of a call within `seconds`, after a first call that may compile."""
    function()
    best, spent = float("inf"), 0.0
    while spent < seconds:
        started = time.perf_counter()
        function()
        took = time.perf_counter() - started
        best, spent = min(best, took), spent + took
    return best
