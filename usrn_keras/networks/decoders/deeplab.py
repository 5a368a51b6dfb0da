"""The decoder of DeepLabv3+ (Chen et al., arXiv 1802.02611): ASPP, then low-level features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import keras
from keras import layers

from usrn_keras.networks.layers import convolution
from usrn_keras.networks.seeded import SeededDropout


def deeplab_v3_plus(
    low_channels: int,
    high_channels: int,
    *,
    upsampling: int,
    rates: Sequence[int] = (6, 12, 18),
    aspp_channels: int = 256,
    low_level_channels: int = 48,
    decoder_channels: int = 256,
    dropout: float = 0.5,
    batch_norm_momentum: float = 0.9,
    name: str = "decoder",
) -> keras.Model:
    """Build a decoder from low-level and high-level features.

    Args:
        low_channels: Number of channels of the low-level features, stride 4.
        high_channels: Number of channels of the deepest features.
        upsampling: Ratio of the strides of both, 4 at output stride 16.
        rates: Dilation rates of the ASPP.
        aspp_channels: Number of channels of each part of the ASPP.
        low_level_channels: Number of channels that the low-level features are projected to.
        decoder_channels: Number of output channels.
        dropout: Dropout rate after the ASPP and after the first 3x3 convolution.
        batch_norm_momentum: Momentum of the moving statistics.
        name: Name of the model.

    Returns:
        A model from `[low (batch, h, w, low_channels), high (batch, h/u, w/u, high_channels)]` to features
        `(batch, h, w, decoder_channels)`, which USRN clusters. Bilinear upsampling has half-pixel centres
        (the official code aligns corners).

    Example:

    >>> decoder = deeplab_v3_plus(64, 512, upsampling=4)
    >>> decoder.output_shape
    (None, None, None, 256)
    """

    convolve = partial(convolution, batch_norm_momentum=batch_norm_momentum)
    low = keras.Input((None, None, low_channels), name="low_level")
    high = keras.Input((None, None, high_channels), name="high_level")
    parts = [convolve(high, aspp_channels)] + [convolve(high, aspp_channels, 3, rate=rate) for rate in rates]
    pooled = convolve(layers.GlobalAveragePooling2D(keepdims=True)(high), aspp_channels)
    x = _project(parts, pooled, aspp_channels, batch_norm_momentum)
    x = SeededDropout(dropout)(x)
    x = layers.UpSampling2D(upsampling, interpolation="bilinear")(x)
    x = layers.Concatenate()([x, convolve(low, low_level_channels)])
    x = SeededDropout(dropout)(convolve(x, decoder_channels, 3))
    return keras.Model([low, high], convolve(x, decoder_channels, 3), name=name)


def _project(parts: list, pooled, channels: int, batch_norm_momentum: float):
    """Apply the 1x1 convolution over all parts of the ASPP.

    The pooled part is constant over the image, so its part of the convolution is computed once per image and
    added: the same function as the concatenation, without the copy.
    """

    def projection():
        # Both kernels are parts of one convolution, whose total fan-in determines the initialization.
        deviation = (2.0 / (channels * (len(parts) + 1))) ** 0.5
        initializer = keras.initializers.TruncatedNormal(stddev=deviation)
        return layers.Conv2D(channels, 1, use_bias=False, kernel_initializer=initializer)

    x = layers.Add()([projection()(layers.Concatenate()(parts)), projection()(pooled)])
    x = layers.BatchNormalization(momentum=batch_norm_momentum, epsilon=1e-5)(x)
    return layers.ReLU()(x)
