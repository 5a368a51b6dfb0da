"""What `usrn doctor` runs in worker processes: devices of backends, and the speed of a recipe."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from usrn_keras.errors import StorageError

Send = Callable[[dict], None]
CPU = "CPU"  # name of the device without an accelerator


def load_backend(order: dict, send: Send) -> dict:
    """Load the backend `name` and compute a convolution, which a build for other GPUs cannot.

    Returns:
        `devices`, names of the devices, the training device first; and `warnings` of the backend.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        devices = DEVICES[order["name"]]()
    return {"devices": devices, "warnings": [str(warning.message).strip() for warning in caught]}


def _torch_devices() -> list[str]:
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    ones = torch.ones((1, 1, 3, 3), device="cuda" if cuda else "mps" if mps else "cpu")
    torch.nn.functional.conv2d(ones, ones).item()
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count() if cuda else 0)]
    return [*gpus, *["Apple GPU (MPS)"] * mps, CPU]


def _jax_devices() -> list[str]:
    import jax

    ones = jax.numpy.ones((1, 1, 3, 3))
    jax.lax.conv(ones, ones, (1, 1), "VALID").item()
    return [CPU if device.platform == "cpu" else device.device_kind for device in jax.devices()]


def _tensorflow_devices() -> list[str]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    tf.nn.conv2d(tf.ones((1, 3, 3, 1)), tf.ones((3, 3, 1, 1)), 1, "VALID").numpy()
    details = map(tf.config.experimental.get_device_details, gpus)
    return [*(found.get("device_name", "GPU") for found in details), CPU]


DEVICES = {"torch": _torch_devices, "jax": _jax_devices, "tensorflow": _tensorflow_devices}


def try_recipe(order: dict, send: Send) -> dict:
    """Read a `recipe` with `overrides`; if `timed`, time input pipeline and Baseline for `seconds` each.

    Sends what is known of the recipe and of its input pipeline. `features_space` are message and hint if the
    disk of the run's `folder` has no space for the features. Nothing is downloaded: weights are random.

    Returns:
        `step_seconds`, of the shortest training step, and `step_images_per_second`.
    """
    from usrn_keras.data import load_dataset, sample_size
    from usrn_keras.data.dataset import PARTS
    from usrn_keras.recipe import load_recipe
    from usrn_keras.subclasses.feature_grid import feature_size
    from usrn_keras.subclasses.feature_store import check_space

    recipe = load_recipe(order["recipe"], order["overrides"])
    send({"precision": recipe.training.precision})
    dataset = load_dataset(recipe.data)
    send({f"{part}_images": len(getattr(dataset, part)) for part in PARTS})
    height, width = feature_size(sample_size(dataset.labelled[0]))
    try:  # at most, if all images have this size
        rows, channels = height * width * len(dataset.labelled), recipe.network.decoder_channels
        check_space(Path(order["folder"]), rows, channels, stored=0)
    except StorageError as error:
        send({"features_space": [error.message, error.hint]})
    if not order["timed"]:
        return {}

    from usrn_keras.backends import CompiledStep, prepare_backend
    from usrn_keras.data.batches.batch_spec import BatchSpec
    from usrn_keras.data.batches.recipe_batches import build_batches
    from usrn_keras.methods.base import baseline_stage
    from usrn_keras.stages.build import build_method
    from usrn_keras.stages.preflight import validate_counts, validate_evaluation

    prepare_backend()
    validate_evaluation(recipe, dataset)
    validate_counts(recipe.subclasses, dataset)
    batches = build_batches(recipe, dataset, spec=BatchSpec(unlabelled=bool(dataset.unlabelled), strong=1))
    images, started, spent = 0, time.perf_counter(), 0.0
    with contextlib.closing(batches.iterate(0, 10**6)) as stream:
        for number, batch in enumerate(stream):
            images += len(batch["labelled"]) + len(batch.get("weak", ()))
            spent = time.perf_counter() - started
            if number and spent >= order["seconds"]:
                break
    send({"loader_workers": batches.workers, "loader_images_per_second": round(images / spent, 1)})

    pretrained = recipe.network.weights != "imagenet"
    step = CompiledStep(build_method(recipe, baseline_stage(recipe), dataset, pretrained=pretrained))
    batch, times = build_batches(recipe, dataset, spec=BatchSpec()).batch(0), []
    float(step(batch)["loss"])  # compiles
    while sum(times) < order["seconds"]:
        started = time.perf_counter()
        float(step(batch)["loss"])  # waits for the device
        times.append(time.perf_counter() - started)
    rate = recipe.training.batch_labelled / min(times)
    return {"step_seconds": round(min(times), 4), "step_images_per_second": round(rate, 1)}
