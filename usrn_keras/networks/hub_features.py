"""Layers that run a transformer of keras-hub on images of any size, and hand on its features as two maps.

The transformers of keras-hub are built for square images of one size. `HubFeatures` therefore cuts an image
into squares of this size, the training crop, and computes each by itself. A branch has two cuts, after the
stem (stride 4) and after the tail; `HubFeatures` returns all features at stride 4, with the deepest ones
unfolded from channels to pixels, and `Folded` takes these back, without a loss or a weight.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from usrn_keras.backends.graph import all_layers
from usrn_keras.networks.hub_backbones import REQUIRED_BY
from usrn_keras.optional import import_keras_hub

Tensor = Any
LOW_STRIDE = 4


@keras.saving.register_keras_serializable(package="usrn_keras")
class HubFeatures(layers.Layer):
    """Computes the features of a keras-hub backbone at stride 4, in squares of one size.

    Args:
        class_name: Name of the backbone in `keras_hub.models`, such as `MiTBackbone`.
        config: Its config, with a square `image_shape`.
        window: Side of the squares of the image in pixels, a multiple of 32. If `image_shape` is smaller or
            larger, each square is resized to it: patches of 14 pixels then cover 16 pixels of the image.
        stride: Stride of the deepest features in the image.
        low: Name of the pyramid level of stride 4; empty for a backbone without one.
        high: Name of the pyramid level of `stride`; empty for the output of the backbone, tokens
            `(batch, tokens, channels)`, whose last ones are the grid, or a map.
        **kwargs: Further arguments of `keras.layers.Layer`.

    Input `(batch, height, width, 3)`, preprocessed, with height and width divisible by 32; output
    `(batch, height / 4, width / 4, low channels + high channels / (stride / 4)^2)`. Squares at the right and
    bottom edge are padded with zeros. Weights that are drawn come from the generator of the backend.

    Raises:
        BackendError: keras-hub is not installed.
        ValueError: The channels of the deepest features cannot be unfolded.

    Example:

    >>> config = {"image_shape": (64, 64, 3), "patch_size": 16, "num_layers": 1, "hidden_dim": 32,
    ...           "num_heads": 2, "intermediate_dim": 64}
    >>> features = HubFeatures("DINOV3Backbone", config, 64)            # doctest: +SKIP
    >>> features(ops.zeros((1, 96, 160, 3))).shape                      # doctest: +SKIP
    (1, 24, 40, 2)
    """

    def __init__(
        self,
        class_name: str,
        config: dict[str, Any],
        window: int,
        stride: int = 16,
        low: str = "",
        high: str = "",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.class_name, self.config, self.window = class_name, dict(config), int(window)
        self.stride, self.low, self.high = int(stride), low, high
        backbone = getattr(import_keras_hub(*REQUIRED_BY).models, class_name)
        self.maps = maps_of(backbone.from_config(self.config), low, high)
        *low_map, high_map = self.maps.outputs
        self.low_channels = low_map[0].shape[-1] if low_map else 0
        self.high_channels = high_map.shape[-1]
        if self.high_channels % self.factor**2:
            raise ValueError(
                f"the channels of the deepest features must be a multiple of {self.factor**2}, received "
                f"{self.high_channels}"
            )
        self.built = True

    @property
    def factor(self) -> int:
        """Stride of the deepest features in units of stride 4."""
        return self.stride // LOW_STRIDE

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        _, height, width, channels = ops.shape(images)
        side, small = self.window, self.window // LOW_STRIDE
        rows, columns = -(-height // side), -(-width // side)
        x = ops.pad(images, ((0, 0), (0, rows * side - height), (0, columns * side - width), (0, 0)))
        x = ops.reshape(x, (-1, rows, side, columns, side, channels))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, side, side, channels))
        inner = self.maps.inputs[0].shape[1]
        if inner != side:
            x = ops.image.resize(x, (inner, inner))
        x = self._packed(self.maps(x, training=training))
        x = ops.reshape(x, (-1, rows, columns, small, small, self._channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        x = ops.reshape(x, (-1, rows * small, columns * small, self._channels))
        return x[:, : height // LOW_STRIDE, : width // LOW_STRIDE]

    def _packed(self, maps: Tensor | list[Tensor]) -> Tensor:
        """All maps of squares at stride 4."""
        *low, high = maps if isinstance(maps, (list, tuple)) else [maps]
        side, factor = self.window // self.stride, self.factor
        if len(high.shape) == 3:  # class and register tokens come first
            high = high[:, high.shape[1] - side**2 :]
        high = ops.reshape(high, (-1, side, side, factor, factor, self.high_channels // factor**2))
        high = ops.transpose(high, (0, 1, 3, 2, 4, 5))
        high = ops.reshape(high, (-1, side * factor, side * factor, self.high_channels // factor**2))
        return ops.concatenate([*low, high], axis=-1)

    @property
    def _channels(self) -> int:
        return self.low_channels + self.high_channels // self.factor**2

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, *sides, _ = input_shape
        return (batch, *(side and side // LOW_STRIDE for side in sides), self._channels)

    def flops(self, height: int, width: int) -> int:
        """Count the operations of one image, without those between pairs of tokens.

        Args:
            height, width: Size of the image in pixels.
        """
        squares = math.ceil(height / self.window) * math.ceil(width / self.window)
        return squares * sum(map(_layer_flops, self.maps.layers))

    def get_config(self) -> dict[str, Any]:
        keys = ("class_name", "config", "window", "stride", "low", "high")
        return super().get_config() | {key: getattr(self, key) for key in keys}


def maps_of(backbone: keras.Model, low: str, high: str) -> keras.Model:
    """Cut a keras-hub backbone to the model from images to its `[low, high]` features, or to `high` alone.

    Args:
        backbone: Backbone of keras-hub.
        low, high: Names of pyramid levels, see `HubFeatures`.
    """
    maps = [backbone.pyramid_outputs[low]] if low else []
    maps.append(backbone.pyramid_outputs[high] if high else backbone.output)
    return keras.Model(backbone.inputs[0], maps if low else maps[0], name="maps")


def _layer_flops(layer: keras.Layer) -> int:
    """Operations of the kernels in a layer of a backbone, which all run at each of its output positions."""
    positions = math.prod(keras.tree.flatten(layer.output)[0].shape[1:-1])
    kernels = (one.kernel for one in all_layers(layer) if hasattr(one, "kernel"))
    return 2 * positions * sum(math.prod(kernel.shape) for kernel in kernels)


@keras.saving.register_keras_serializable(package="usrn_keras")
class Folded(layers.Layer):
    """Takes the deepest features out of the output of `HubFeatures`, at their own stride.

    Args:
        first: Number of channels before them.
        factor: Number of pixels on a side that become channels of one.
        **kwargs: Further arguments of `keras.layers.Layer`.

    Input `(batch, height, width, first + channels)`, output
    `(batch, height / factor, width / factor, channels * factor^2)`.

    Example:

    >>> Folded(3, 4)(ops.zeros((1, 8, 8, 5))).shape
    (1, 2, 2, 32)
    """

    def __init__(self, first: int, factor: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.first, self.factor = int(first), int(factor)
        self.built = True

    def call(self, packed: Tensor) -> Tensor:
        _, height, width, channels = ops.shape(packed)
        rows, columns, channels = height // self.factor, width // self.factor, channels - self.first
        x = packed[..., self.first :]
        x = ops.reshape(x, (-1, rows, self.factor, columns, self.factor, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, rows, columns, channels * self.factor**2))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, *sides, channels = input_shape
        sides = (side and side // self.factor for side in sides)
        return (batch, *sides, (channels - self.first) * self.factor**2)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"first": self.first, "factor": self.factor}
