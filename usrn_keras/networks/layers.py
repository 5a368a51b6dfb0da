"""Building blocks of decoders: convolution, dropout, classifier, pooling, resizing, and clones of layers.

`AdaptiveAveragePooling` and `ResizeLike` multiply each channel with one matrix for the rows and one for the
columns, `Y = R X C^T`, built from the actual size of the feature map: the layers of Keras need this size when
the network is built (on TensorFlow). `clone_layer` and `clone_layers` copy the layers of a keras-cv network
to a functional graph that takes images of any size and runs on the native operations of each backend.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import layers, ops

from usrn_keras.networks.seeded import SeededDropout


def convolution(
    x: Any, channels: int, kernel: int = 1, *, rate: int = 1, batch_norm_momentum: float = 0.9
) -> Any:
    """Apply a convolution without bias, batch normalisation and ReLU.

    Args:
        x: Symbolic tensor `(batch, height, width, channels)`.
        channels: Number of output channels.
        kernel: Height and width of the kernel.
        rate: Dilation rate.
        batch_norm_momentum: Momentum of the moving statistics.

    Returns:
        Symbolic tensor `(batch, height, width, channels)`.
    """
    x = layers.Conv2D(
        channels, kernel, dilation_rate=rate, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    x = layers.BatchNormalization(momentum=batch_norm_momentum, epsilon=1e-5)(x)
    return layers.ReLU()(x)


def classifier(
    in_channels: int, out_channels: int, *, dropout: float = 0.1, name: str = "classifier"
) -> keras.Model:
    """Build a classifier: dropout and a 1x1 convolution to logits, in float32 for every precision.

    Args:
        in_channels: Number of channels of the decoder features.
        out_channels: Number of classes or subclasses.
        dropout: Dropout rate before the convolution, as in the official code.
        name: Name of the model.

    Returns:
        A model from features `(batch, h, w, in_channels)` to logits `(batch, h, w, out_channels)` float32.
    """
    features = keras.Input((None, None, in_channels), name="features")
    x = SeededDropout(dropout)(features)
    logits = layers.Conv2D(out_channels, 1, kernel_initializer="he_normal", dtype="float32", name="logits")(x)
    return keras.Model(features, logits, name=name)


Tensor = Any


@keras.saving.register_keras_serializable(package="usrn_keras")
class AdaptiveAveragePooling(layers.Layer):
    """Averages each of `bins x bins` cells that cover a feature map, as `adaptive_avg_pool2d` in PyTorch.

    On a side of `n` pixels, cell `i` covers `floor(i n / bins)` to `ceil((i + 1) n / bins)`. So cells overlap
    if `bins` does not divide `n`, and repeat pixels if there are fewer pixels than cells.

    Args:
        bins: Number of cells on each side.
        **kwargs: Further arguments of `keras.layers.Layer`.

    Input `(batch, height, width, channels)`, output `(batch, bins, bins, channels)`.

    Example:

    >>> pixels = ops.reshape(ops.arange(4, dtype="float32"), (1, 2, 2, 1))
    >>> float(AdaptiveAveragePooling(1)(pixels)[0, 0, 0, 0])
    1.5
    """

    def __init__(self, bins: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.bins = bins
        self.built = True

    def call(self, maps: Tensor) -> Tensor:
        _, height, width, _ = ops.shape(maps)
        return _resample(maps, _pooling(self.bins, height), _pooling(self.bins, width))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.bins, self.bins, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"bins": self.bins}


@keras.saving.register_keras_serializable(package="usrn_keras")
class ResizeLike(layers.Layer):
    """Resizes feature maps bilinearly to the height and width of another map, with half-pixel centres.

    Input `[maps (batch, h, w, channels), like (batch, height, width, any)]`, output
    `(batch, height, width, channels)`. There is no anti-aliasing when the size decreases.

    Example:

    >>> ResizeLike()([ops.zeros((1, 2, 3, 5)), ops.zeros((1, 7, 9, 2))]).shape
    (1, 7, 9, 5)
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.built = True

    def call(self, inputs: list[Tensor]) -> Tensor:
        (_, *sizes, _), (_, *wanted, _) = (ops.shape(tensor) for tensor in inputs)
        return _resample(inputs[0], _bilinear(wanted[0], sizes[0]), _bilinear(wanted[1], sizes[1]))

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        maps, like = input_shape
        return (maps[0], like[1], like[2], maps[-1])


def _resample(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply `rows (height, h)` and `columns (width, w)` to `maps (batch, h, w, channels)`."""
    _, h, w, channels = ops.shape(maps)
    rows, columns = ops.cast(rows, maps.dtype), ops.cast(columns, maps.dtype)
    maps = ops.matmul(rows, ops.reshape(maps, (-1, h, w * channels)))
    return ops.matmul(columns, ops.reshape(maps, (-1, ops.shape(rows)[0], w, channels)))


def _pooling(bins: int, pixels: Any) -> Tensor:
    """Weight of each pixel in each cell, `(bins, pixels)` float32; rows sum to 1."""
    cell = ops.arange(bins, dtype="int32")[:, None]
    start = cell * pixels // bins
    end = ((cell + 1) * pixels + bins - 1) // bins
    pixel = ops.arange(pixels, dtype="int32")[None]
    inside = ops.logical_and(start <= pixel, pixel < end)
    return ops.cast(inside, "float32") / ops.cast(end - start, "float32")


def _bilinear(wanted: Any, pixels: Any) -> Tensor:
    """Weight of each input pixel in each output pixel, `(wanted, pixels)` float32; rows sum to 1."""
    place, pixel = (ops.cast(ops.arange(side, dtype="int32"), "float32") for side in (wanted, pixels))
    # Sizes are tensors, because the export of PyTorch would treat numbers as constants.
    last, last_place = pixel[-1:], place[-1:]
    centre = (place + 0.5) * ((last + 1.0) / (last_place + 1.0)) - 0.5
    centre = ops.minimum(ops.maximum(centre, 0.0), last)
    return ops.relu(1.0 - ops.abs(centre[:, None] - pixel[None]))


def clone_layer(layer: keras.Layer, x: Any, **changes: Any) -> Any:
    """Apply a new layer with the configuration of `layer` to `x`. The weights are not copied.

    Args:
        layer: Layer of a keras-cv network.
        x: Symbolic input.
        **changes: Changed entries of the configuration.

    Returns:
        Symbolic output.
    """
    if isinstance(layer, layers.Dropout):
        return SeededDropout(layer.rate)(x)
    config = {key: value for key, value in layer.get_config().items() if key != "name"}
    return layer.__class__.from_config(config | changes)(x)


def clone_layers(stack: Iterable[keras.Layer], x: Any, *, batch_norm_momentum: float) -> Any:
    """Apply clones of `stack` one after the other to `x`, see `clone_layer`."""
    for layer in stack:
        normalises = isinstance(layer, layers.BatchNormalization)
        x = clone_layer(layer, x, **({"momentum": batch_norm_momentum} if normalises else {}))
    return x
