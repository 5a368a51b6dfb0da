"""What several tests need: gradients on any backend, tiny networks, where the shared data lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import keras
import numpy as np
import pytest

from usrn_keras.data import Dataset
from usrn_keras.methods import stages_of
from usrn_keras.networks import Branch, build_branches
from usrn_keras.recipe import Recipe
from usrn_keras.runs import Run, start_run

ROOT = Path(__file__).parents[1]


builds_networks_of_a_recipe = pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="the recipe is read without a backend, and other tests build networks there; JAX takes a minute",
)


def shared(path: str) -> Path:
    """A file of the shared data; skips the test where it is not there."""
    found = Path(os.environ.get("USRN_SHARED", ROOT.parent / "shared")) / path
    if not found.exists():
        pytest.skip(f"{path} is not there")
    return found


def started(path: Path, recipe: Recipe, dataset: Dataset) -> AbstractContextManager[Run]:
    """`start_run` with the stages of the recipe."""
    return start_run(path, recipe, dataset, stages_of(recipe))


def gradients(function: Callable, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Gradients of a scalar function of float arrays, on the current backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tensors = [tf.constant(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        found = tape.gradient(value, tensors, unconnected_gradients="zero")
    elif backend == "jax":
        import jax

        found = jax.grad(function, argnums=tuple(range(len(arrays))))(*arrays)
    else:
        import torch

        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        found = torch.autograd.grad(function(*tensors), tensors, allow_unused=True)
        found = [torch.zeros_like(t) if g is None else g for g, t in zip(found, tensors, strict=True)]
    return [np.asarray(keras.ops.convert_to_numpy(gradient)) for gradient in found]


def tiny_branches(**options) -> tuple[Branch, Branch | None]:
    """The smallest real two-branch network: a quarter of MobileNet, cut short."""
    defaults = {
        "classes": 3,
        "subclasses": 5,
        "weights": "none",
        "width": 0.25,
        "backbone_end": "conv_pw_7_relu",
        "aspp_rates": [2],
        "aspp_channels": 8,
        "low_level_channels": 4,
        "decoder_channels": 8,
    }
    return build_branches("keras/mobilenet", **(defaults | options))


def tiny_batch(
    seed: int = 0, *, images: int = 2, size: int = 32, classes: int = 3, subclasses: int = 5
) -> dict:
    """A random batch for `USRN`, with some ignored pixels."""
    rng = np.random.default_rng(seed)
    sublabels = rng.integers(-1, subclasses, (images, size, size)).astype("int32")
    return {
        "labelled": rng.integers(0, 256, (images, size, size, 3), dtype="uint8"),
        "weak": rng.integers(0, 256, (images, size, size, 3), dtype="uint8"),
        "labels": np.where(sublabels < 0, 255, sublabels % classes).astype("int32"),
        "sublabels": sublabels,
    }


def poly(rate: float, steps: int, power: float = 0.9) -> keras.optimizers.schedules.LearningRateSchedule:
    """The schedule of every recipe: `rate * (1 - step / steps) ** power`."""
    return keras.optimizers.schedules.PolynomialDecay(rate, steps, end_learning_rate=0.0, power=power)


def fill(variables: list[keras.Variable], seed: int = 0) -> None:
    """Weights and statistics of ordinary size that depend on the seed alone, whatever the backend."""
    rng = np.random.default_rng(seed)
    for variable in variables:
        noise = rng.normal(size=variable.shape)
        if variable.name == "kernel":
            value = noise * (2 / max(1, int(np.prod(variable.shape[:-1])))) ** 0.5
        elif variable.name in ("gamma", "moving_variance"):
            value = 1 + 0.1 * np.abs(noise)
        elif variable.name in ("bias", "beta", "moving_mean"):
            value = 0.1 * noise
        else:  # the state of a random generator
            continue
        variable.assign(value.astype("float32"))
