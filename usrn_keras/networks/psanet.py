"""The decoder of PSANet (Zhao et al., ECCV 2018): pixels that collect from all others, and send to them."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import keras
from keras import layers

from usrn_keras.networks.blocks import convolution
from usrn_keras.networks.point_attention import Gather, PointAttention
from usrn_keras.networks.resampling import ResizeLike


def mask_of(crop_size: int, *, output_stride: int, shrink: int = 2) -> int:
    """Height and width of the over-completed maps that cover every offset in a training crop.

    The authors' `2 ((crop - 1) // (8 shrink) + 1) - 1`, of any stride.

    Example:

    >>> mask_of(465, output_stride=8)
    59
    """
    return 2 * ((crop_size - 1) // (output_stride * shrink) + 1) - 1


def psanet(
    low_channels: int,
    high_channels: int,
    *,
    mask: int,
    attention_channels: int = 512,
    shrink: int = 2,
    decoder_channels: int = 256,
    batch_norm_momentum: float = 0.9,
    name: str = "decoder",
) -> keras.Model:
    """Decoder features from high-level features and what each pixel gathers from all of them.

    Two branches of attention (section 3 of the paper), on features that are made `shrink` times smaller:
    in one each pixel says what it draws from the others (collect), in the other what it sends to them
    (distribute); see `PointAttention`. With `x` the high-level features and `conv` a convolution with batch
    normalisation and ReLU,

        r_k      = shrunk(conv1x1(x))                             k = collect, distribute
        z_k      = A_k r_k,   A_k from the map conv1x1(r_k) W_k   `mask * mask` channels, no bias
        features = conv3x3([x, enlarged(conv1x1([z_collect, z_distribute]))])

    Differences from the authors' code: shrinking takes the mean of `shrink x shrink` pixels and enlarging has
    half-pixel centres (theirs align corners, on features of odd sizes), and the features come at stride 4:
    see `pspnet` for what that changes, and why there are low-level features among the inputs.

    Args:
        low_channels: Channels of the low-level features, stride 4.
        high_channels: Channels of the deepest features; PSANet has them at stride 8.
        mask: Height and width of the over-completed maps, odd; see `mask_of`.
        attention_channels: Channels of each branch of attention.
        shrink: Ratio by which features are made smaller for the attention, whose cost grows with the square
            of the number of pixels.
        decoder_channels: Channels of the result (512 in the authors' code).
        batch_norm_momentum: Of the moving statistics.
        name: Name of the model.

    Returns:
        A model of `[low (batch, h, w, low_channels), high (batch, h/u, w/u, high_channels)]` to features
        `(batch, h, w, decoder_channels)`.

    Raises:
        ValueError: An even `mask`.

    Example:

    >>> decoder = psanet(256, 2048, mask=mask_of(320, output_stride=8))
    >>> decoder.output_shape
    (None, None, None, 256)
    """
    convolve = partial(convolution, batch_norm_momentum=batch_norm_momentum)
    low = keras.Input((None, None, low_channels), name="low_level")
    high = keras.Input((None, None, high_channels), name="high_level")

    def branch(kind: Literal["collect", "distribute"]) -> Any:
        reduced = convolve(high, attention_channels)
        if shrink > 1:
            reduced = layers.AveragePooling2D(shrink, padding="same")(reduced)
        hidden = convolve(reduced, attention_channels)
        maps = layers.Conv2D(mask**2, 1, use_bias=False, kernel_initializer="he_normal")(hidden)
        return Gather()([reduced, PointAttention(kind, mask)(maps)])

    x = convolve(layers.Concatenate()([branch("collect"), branch("distribute")]), high_channels)
    x = layers.Concatenate()([high, ResizeLike()([x, high])])
    x = convolve(x, decoder_channels, 3)
    return keras.Model([low, high], ResizeLike(name="stride_4")([x, low]), name=name)
