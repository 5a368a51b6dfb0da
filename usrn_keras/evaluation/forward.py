"""Inference on the current Keras backend: arrays in, one compiled program on the device, arrays out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import no_gradient, run_graph

Tensor = Any
Network = Callable[[Tensor], Tensor]
Function = Callable[[Network, Tensor], Tensor]


class Forward:
    """Run `function(network, images)` without gradients; JAX and TensorFlow compile it for each shape.

    Keras' `predict_on_batch` collects all variables of the network again for every batch, which takes 8 ms
    for a MobileNet on JAX, more than a GPU needs for the image.

    Args:
        model: The network; later changes of its weights take effect.
        function: Function of the network in evaluation mode and of the images, both on the device; returns
            a tensor.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> model = keras.Model(images, keras.layers.Rescaling(2.0)(images))
    >>> brightest = Forward(model, lambda network, images: ops.max(network(images), axis=(1, 2, 3)))
    >>> brightest(np.array([[[[1, 5, 3]]], [[[2, 0, 0]]]], np.uint8)).tolist()
    [10.0, 4.0]
    """

    def __init__(self, model: keras.Model, function: Function):
        self._run = PROGRAMS[keras.backend.backend()](model, function)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Call the function with images `(batch, height, width, 3)` uint8; returns an array."""
        return ops.convert_to_numpy(self._run(images))


def _jax(model: keras.Model, function: Function) -> Callable[[np.ndarray], Tensor]:
    import jax

    variables = model.variables

    @jax.jit
    def program(values: list, images: Tensor) -> Tensor:
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
            return function(partial(run_graph, model, training=False), images)

    return lambda images: program([variable.value for variable in variables], images)


def _tensorflow(model: keras.Model, function: Function) -> Callable[[np.ndarray], Tensor]:
    import tensorflow as tf

    # On a CPU, XLA takes five times as long to compile, and as long to run depthwise convolutions.
    @tf.function(jit_compile=bool(tf.config.list_physical_devices("GPU")))
    def program(images: Tensor) -> Tensor:
        return function(partial(run_graph, model, training=False), images)

    return program


def _torch(model: keras.Model, function: Function) -> Callable[[np.ndarray], Tensor]:
    def program(images: np.ndarray) -> Tensor:
        with no_gradient():
            return function(partial(run_graph, model, training=False), ops.convert_to_tensor(images))

    return program


PROGRAMS = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
