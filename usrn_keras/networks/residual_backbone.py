"""A small residual network (He et al., arXiv 1512.03385) of Keras layers, where keras-cv is not installed."""

from __future__ import annotations

import keras
from keras import layers

STAGE_CHANNELS = (64, 128, 256, 512)


def residual_backbone(width: float, *, blocks: tuple[int, ...] = (1, 1, 2, 2)) -> keras.Model:
    """Build a residual network of basic blocks with random weights.

    The stem has two 3x3 convolutions and reaches stride 4, as the first stage does; every further stage
    halves the size.

    Args:
        width: Factor on the channels 64, 128, 256 and 512 of the stages.
        blocks: Number of blocks of each stage; each has two 3x3 convolutions.

    Returns:
        A model from images `(batch, height, width, 3)` to features
        `(batch, height / 32, width / 32, 512 * width)`.

    Example:

    >>> residual_backbone(0.25).output_shape
    (None, None, None, 128)
    """
    images = keras.Input((None, None, 3), name="images")
    channels = [max(8, round(width * count)) for count in STAGE_CHANNELS]
    x = layers.ReLU()(_convolution(images, channels[0], stride=2))
    x = layers.ReLU()(_convolution(x, channels[0], stride=2))
    for stage, count in enumerate(blocks):
        for block in range(count):
            x = _basic_block(x, channels[stage], stride=2 if stage and not block else 1)
    return keras.Model(images, x, name="resnet")


def _basic_block(x: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
    """Add two convolutions to a shortcut, which is projected if its shape changes."""
    shortcut = x if x.shape[-1] == channels and stride == 1 else _convolution(x, channels, 1, stride)
    x = layers.ReLU()(_convolution(x, channels, stride=stride))
    return layers.ReLU()(layers.Add()([shortcut, _convolution(x, channels)]))


def _convolution(x: keras.KerasTensor, channels: int, kernel: int = 3, stride: int = 1) -> keras.KerasTensor:
    """Apply a convolution without bias and batch normalisation."""
    if stride > 1 and kernel > 1:
        x = layers.ZeroPadding2D(kernel // 2)(x)  # "same" would pad a strided convolution on one side alone
    padding = "valid" if stride > 1 and kernel > 1 else "same"
    x = layers.Conv2D(
        channels, kernel, stride, padding=padding, use_bias=False, kernel_initializer="he_normal"
    )(x)
    return layers.BatchNormalization(epsilon=1e-5)(x)
