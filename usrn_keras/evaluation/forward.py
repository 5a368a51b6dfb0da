"""Inference on the current Keras backend: arrays in, one compiled program on the device, arrays out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import compile_forward

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
        self._run = compile_forward(model, function)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Call the function with images `(batch, height, width, bands)` uint8; returns an array."""
        return ops.convert_to_numpy(self._run(images))
