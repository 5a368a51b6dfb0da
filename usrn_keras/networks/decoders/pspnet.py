"""The decoder of PSPNet (Zhao et al., CVPR 2017, arXiv 1612.01105): means over a pyramid of regions."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from usrn_keras.networks.layers import AdaptiveAveragePooling, ResizeLike, convolution


def pspnet(
    low_channels: int,
    high_channels: int,
    *,
    bins: Sequence[int] = (1, 2, 3, 6),
    decoder_channels: int = 256,
    batch_norm_momentum: float = 0.9,
    name: str = "decoder",
) -> keras.Model:
    """Decoder features from high-level features and their means over 1, 4, 9 and 36 regions.

    Pyramid pooling (section 3.2 of the paper): with `P_b` the means over `b x b` regions, `conv` a
    convolution with batch normalisation and ReLU, and `up` bilinear interpolation,

        features = conv3x3([x, up(conv1x1(P_1 x)), ..., up(conv1x1(P_6 x))])

    where each 1x1 convolution leaves `high_channels / len(bins)` channels. The one dropout of the authors'
    code is that before the classifier (`classifier`).

    PSPNet has no low-level features; here these only say how large the result is. The features are enlarged
    to stride 4 before the classifier, the authors enlarge the logits behind it. That is the same function:
    the weights of an interpolation add up to 1 in each pixel, so it commutes with a 1x1 convolution and its
    bias. What USRN clusters, however, are interpolated features: at output stride 16 about sixteen rows for
    each that the network computes.

    Args:
        low_channels: Channels of the low-level features, stride 4.
        high_channels: Channels of the deepest features; PSPNet has them at stride 8.
        bins: Regions on each side of the map.
        decoder_channels: Channels of the result (512 in the authors' code).
        batch_norm_momentum: Of the moving statistics. The 1 x 1 region is one number per image and channel:
            a batch of one image has no variance there, so that nothing is learnt that holds at inference;
            recipes refuse it.
        name: Name of the model.

    Returns:
        A model of `[low (batch, h, w, low_channels), high (batch, h/u, w/u, high_channels)]` to features
        `(batch, h, w, decoder_channels)`.

    Example:

    >>> decoder = pspnet(256, 2048)
    >>> decoder.output_shape
    (None, None, None, 256)
    """
    low = keras.Input((None, None, low_channels), name="low_level")
    high = keras.Input((None, None, high_channels), name="high_level")
    parts = [high]
    for count in bins:
        part = AdaptiveAveragePooling(count)(high)
        part = convolution(part, max(1, high_channels // len(bins)), batch_norm_momentum=batch_norm_momentum)
        parts.append(ResizeLike()([part, high]))
    x = convolution(layers.Concatenate()(parts), decoder_channels, 3, batch_norm_momentum=batch_norm_momentum)
    return keras.Model([low, high], ResizeLike(name="stride_4")([x, low]), name=name)
