"""What every decoder is made of: convolution with normalisation, dropout, and the classifier behind it."""

from __future__ import annotations

import random
from typing import Any

import keras
from keras import layers


def convolution(
    x: Any, channels: int, kernel: int = 1, *, rate: int = 1, batch_norm_momentum: float = 0.9
) -> Any:
    """Convolution without bias, batch normalisation, ReLU.

    Args:
        x: Symbolic, `(batch, height, width, any)`.
        channels: Of the result.
        kernel: Height and width of the kernel.
        rate: Dilation.
        batch_norm_momentum: Of the moving statistics.

    Returns:
        Symbolic, `(batch, height, width, channels)`.
    """
    x = layers.Conv2D(
        channels, kernel, dilation_rate=rate, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(x)
    x = layers.BatchNormalization(momentum=batch_norm_momentum, epsilon=1e-5)(x)
    return layers.ReLU()(x)


def resumable_dropout(rate: float, noise_shape: tuple[int | None, ...] | None = None) -> layers.Dropout:
    """Dropout whose random state is a variable of the model on every backend.

    Args:
        rate: Share that is dropped.
        noise_shape: Shape of what is drawn, None where it is that of the input; 1: dropped together.

    Without a seed, Keras' Dropout draws from PyTorch's global generator there, which no
    checkpoint of variables holds: a resumed run would take another way.
    """
    return layers.Dropout(rate, noise_shape, seed=random.randrange(2**31))


def classifier(
    in_channels: int, out_channels: int, *, dropout: float = 0.1, name: str = "classifier"
) -> keras.Model:
    """Dropout and a 1x1 convolution to logits, in float32 whatever the precision.

    Args:
        in_channels: Channels of the decoder features.
        out_channels: Classes or subclasses.
        dropout: Before the convolution, as in the official code.
        name: Name of the model.

    Returns:
        A model `(batch, h, w, in_channels)` -> `(batch, h, w, out_channels)` float32.
    """
    features = keras.Input((None, None, in_channels), name="features")
    x = resumable_dropout(dropout)(features)
    logits = layers.Conv2D(out_channels, 1, kernel_initializer="he_normal", dtype="float32", name="logits")(x)
    return keras.Model(features, logits, name=name)
