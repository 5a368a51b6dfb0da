"""The decoder of PSPNet (Zhao et al., CVPR 2017, arXiv 1612.01105): pyramid pooling."""

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
    """Build a decoder from high-level features and their means over 1, 4, 9 and 36 regions.

    Pyramid pooling (section 3.2 of the paper): with `P_b` the means over `b x b` regions, `conv` a
    convolution with batch normalisation and ReLU, and `up` bilinear interpolation,

        features = conv3x3([x, up(conv1x1(P_1 x)), ..., up(conv1x1(P_6 x))])

    where each 1x1 convolution has `high_channels / len(bins)` output channels. The only dropout of the code
    of the authors is that before the classifier (`classifier`).

    PSPNet has no low-level features; here they only determine the size of the output. The features are
    upsampled to stride 4 before the classifier, while the authors upsample the logits after it. Both are the
    same function: the weights of an interpolation sum to 1 in each pixel, so it commutes with a 1x1
    convolution and its bias. But USRN clusters interpolated features: at output stride 16 about sixteen rows
    for each feature that the network computes.

    Args:
        low_channels: Number of channels of the low-level features, stride 4.
        high_channels: Number of channels of the deepest features, at stride 8 in the paper.
        bins: Number of regions on each side of the map.
        decoder_channels: Number of output channels (512 in the code of the authors).
        batch_norm_momentum: Momentum of the moving statistics. The 1 x 1 region is one value per image and
            channel, so a batch of one image has no variance and its statistics are useless at inference;
            recipes do not allow it.
        name: Name of the model.

    Returns:
        A model from `[low (batch, h, w, low_channels), high (batch, h/u, w/u, high_channels)]` to features
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
