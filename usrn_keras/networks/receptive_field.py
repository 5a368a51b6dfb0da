"""How far the logits of a pixel look, and a network that computes a part of an image as in the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from usrn_keras.backends.graph import Step, call_layers, plan_of
from usrn_keras.networks.seeded import SeededDropout

POINTWISE = (
    layers.BatchNormalization, layers.ReLU, layers.LeakyReLU, layers.Activation, layers.Dropout,
    SeededDropout, layers.Rescaling, layers.Add, layers.Multiply, layers.Concatenate, layers.Identity,
)  # fmt: skip
WINDOWED = (layers.Conv2D, layers.DepthwiseConv2D, layers.MaxPooling2D, layers.AveragePooling2D)
PADDING = layers.ZeroPadding2D


@dataclass(frozen=True)
class Sight:
    """What a feature map sees of the image.

    Attributes:
        stride: Distance of its pixels in the image.
        radius: Largest distance in pixels of the image, upwards, downwards or sideways, that a pixel of it
            depends on; an upper bound.
    """

    stride: float
    radius: float


CONSTANT = Sight(0.0, 0.0)  # the same at every place


class GivenMean(layers.Layer):
    """Return the mean of a feature map over the whole image, which is given, not that of the input.

    Args:
        channels: Number of channels.
        **kwargs: Further arguments of `keras.layers.Layer`.
    """

    def __init__(self, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.mean = self.add_weight(shape=(1, 1, 1, channels), trainable=False, dtype="float32", name="mean")

    def call(self, features: Any) -> Any:
        """Return `(batch, 1, 1, channels)`."""
        mean = ops.cast(self.mean, self.compute_dtype)
        return ops.broadcast_to(mean, (ops.shape(features)[0], 1, 1, mean.shape[-1]))


@dataclass(frozen=True)
class LocalNetwork:
    """A network whose logits depend on a part of the image only, and on means over the whole image.

    Attributes:
        model: Model from a part of an image to the logits that the whole image has there.
        radius: Distance in pixels from an edge of the part, unless it is one of the image, below which they
            differ; an upper bound.
        pooled: Model from images to the features whose mean over the whole image the network needs, at
            `pooled_stride`; None if it needs none.
        pooled_stride: Stride of these features.
        mean: Layer of `model` that holds the mean; None if there is none.
    """

    model: keras.Model
    radius: int
    pooled: keras.Model | None = None
    pooled_stride: int = 1
    mean: GivenMean | None = None

    def set_mean(self, mean: np.ndarray) -> None:
        """Set the mean over the whole image, `(channels,)`, for the next calls of `model`."""
        self.mean.mean.assign(np.asarray(mean, "float32")[None, None, None])


def local_network(model: keras.Model) -> LocalNetwork | None:
    """Convert a segmenter to a network of parts of an image, which shares its weights.

    Args:
        model: Functional model from images `(batch, height, width, 3)` to logits of the same size.

    Returns:
        The network; None if the logits of a pixel may depend on the whole image other than by one global
        average pooling, as with attention or pooling in a pyramid.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> two = layers.Conv2D(4, 3, padding="same")(layers.Conv2D(4, 5, padding="same")(images))
    >>> local_network(keras.Model(images, two)).radius
    3
    """
    found: list[tuple[Any, GivenMean]] = []

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.Model):
            return call_layers(operation, args[0], call)
        if type(operation) is layers.GlobalAveragePooling2D and operation.keepdims:
            mean = GivenMean(args[0].shape[-1], name=f"given_{operation.name}")
            found.append((args[0], mean))
            return mean(args[0])
        return operation(*args, **kwargs)

    if len(getattr(model, "inputs", None) or ()) != 1:
        return None
    try:
        images = keras.Input(model.inputs[0].shape[1:], name=model.inputs[0].name)
        local = keras.Model(images, call_layers(model, images, call), name=model.name)
    except TypeError:  # it is not functional, or a model within it is not
        return None
    sight = _sight_of(local)
    if sight is None or sight.stride != 1 or len(found) > 1:
        return None
    if not found:
        return LocalNetwork(local, int(np.ceil(sight.radius)))
    (features, mean), *_ = found
    pooled = keras.Model(images, features, name="pooled")
    return LocalNetwork(local, int(np.ceil(sight.radius)), pooled, int(_sight_of(pooled).stride), mean)


def _sight_of(model: keras.Model) -> Sight | None:
    """What the output of a plain graph of layers sees; None if a layer may see the whole image."""
    plan = plan_of(model)
    if plan is None:
        return None
    results: dict[int, Sight | None] = {0: Sight(1.0, 0.0)}
    for step in plan.steps:
        inputs = [results[number] for number in step.inputs]
        results[step.output] = None if None in inputs else _after(step, inputs)
    return results[plan.output]


def _after(step: Step, inputs: list[Sight]) -> Sight | None:
    layer, kind = step.layer, type(step.layer)
    if kind is GivenMean:
        return CONSTANT
    maps = [sight for sight in inputs if sight != CONSTANT]
    if not maps:  # only layers of one pixel keep a constant constant
        one_pixel = kind in POINTWISE or (kind is layers.Conv2D and max(layer.kernel_size) == 1)
        return CONSTANT if one_pixel else None
    sight = Sight(maps[0].stride, max(one.radius for one in maps))
    if any(one.stride != sight.stride for one in maps):
        return None
    if kind in POINTWISE:
        return sight if _is_pointwise(layer) else None
    if kind is PADDING:
        return sight
    if kind is layers.UpSampling2D:
        factor = layer.size[0]
        return (
            Sight(sight.stride / factor, sight.radius + 2 * sight.stride)
            if layer.size == (factor,) * 2
            else None
        )
    if kind not in WINDOWED or len(set(layer.strides)) > 1:
        return None
    taps = getattr(layer, "kernel_size", None) or layer.pool_size
    rates = getattr(layer, "dilation_rate", (1, 1))
    span = max((tap - 1) * rate for tap, rate in zip(taps, rates, strict=True))
    # Explicit padding, before a layer without, may be on one side alone.
    reach = span if layer.padding == "valid" or layer.strides[0] > 1 else (span + 1) // 2
    return Sight(sight.stride * layer.strides[0], sight.radius + sight.stride * reach)


def _is_pointwise(layer: keras.Layer) -> bool:
    """Whether a layer that may mix pixels does not."""
    if isinstance(layer, (layers.BatchNormalization, layers.Concatenate)):
        return layer.axis in (-1, 3)
    return True
