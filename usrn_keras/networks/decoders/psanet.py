"""The decoder of PSANet: point-wise attention of every pixel over all pixels.

Zhao et al., "PSANet: Point-wise Spatial Attention Network for Scene Parsing", ECCV 2018.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import keras
from keras import layers, ops

from usrn_keras.networks.layers import ResizeLike, convolution

Tensor = Any
MASKED_LOGIT = -1e9  # far below any logit; infinity could give NaN gradients


@keras.saving.register_keras_serializable(package="usrn_keras")
class PointAttention(layers.Layer):
    """Computes the attention of each pixel over all pixels from an over-completed map.

    Each pixel `i` of the over-completed map `m` has a logit for every offset, as a small image of
    `mask x mask` values with the pixel itself at its centre (section 3 of the paper). With `j - i` the
    offset from pixel `i` to pixel `j`:

        collect:     A[i, j] = exp(m_i[j - i]) / sum_k exp(m_i[k - i])     weight that `i` collects from `j`
        distribute:  A[j, i] = exp(m_i[j - i]) / sum_k exp(m_k[j - k])     weight that `i` distributes to `j`

    Rows of `A` sum to 1 for both kinds. `mask = 2 n - 1` covers every offset of a map of `n x n`. On a
    smaller map only the offsets to its pixels are used. On a larger map, pairs of pixels further apart than
    half the mask have the weight 0; the `PSAMask` of the authors gives them the logit 0, which is not
    neutral in a softmax, and their evaluation uses windows of the training size only.

    Args:
        kind: Kind of attention, `collect` or `distribute`.
        mask: Height and width of the offsets, odd.
        **kwargs: Further arguments of `keras.layers.Layer`.

    Input `(batch, height, width, mask * mask)`, output `(batch, height, width, height * width)`: the weights
    of each pixel over all pixels, row by row. The softmax is computed in float32 for every precision.

    Raises:
        ValueError: `mask` is even, `kind` is unknown, or the number of channels is not `mask * mask`.

    Example:

    >>> PointAttention("collect", mask=5)(ops.zeros((1, 2, 3, 25)))[0, 0, 0].shape
    (6,)
    """

    def __init__(self, kind: Literal["collect", "distribute"], mask: int, **kwargs: Any):
        super().__init__(**kwargs)
        if mask % 2 == 0:
            raise ValueError(f"`mask` must be odd, because its centre is the pixel itself; received {mask}")
        if kind not in ("collect", "distribute"):
            raise ValueError(f"`kind` must be 'collect' or 'distribute', received {kind!r}")
        self.kind = kind
        self.mask = mask
        self.built = True

    def call(self, maps: Tensor) -> Tensor:
        _, height, width, _ = ops.shape(maps)
        pixels = height * width
        places, visible = _offsets(height, width, self.mask)
        # The batch is the last axis: the only form of gather that PyTorch exports with dynamic sizes.
        values = ops.transpose(ops.reshape(maps, (-1, pixels * self.mask**2)), (1, 0))
        order = (2, 0, 1) if self.kind == "collect" else (2, 1, 0)
        logits = ops.transpose(ops.cast(ops.take(values, places, axis=0), "float32"), order)
        # `ops.softmax` would warn for a map of a single pixel that its result is always 1.
        weights = ops.exp(ops.log_softmax(ops.where(visible, logits, MASKED_LOGIT), axis=-1))
        return ops.reshape(ops.cast(weights, self.compute_dtype), (-1, height, width, pixels))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, channels = input_shape
        if channels != self.mask**2:
            raise ValueError(f"mask {self.mask} needs {self.mask**2} channels, received {channels}")
        return (batch, height, width, None if None in (height, width) else height * width)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"kind": self.kind, "mask": self.mask}


@keras.saving.register_keras_serializable(package="usrn_keras")
class Gather(layers.Layer):
    """Computes the weighted sum over all pixels for each pixel, `z_i = sum_j A[i, j] x_j`.

    Input `[maps (batch, height, width, channels), weights (batch, height, width, height * width)]`, output
    `(batch, height, width, channels)`.

    Example:

    >>> maps, weights = ops.ones((1, 2, 3, 5)), ops.ones((1, 2, 3, 6)) / 6
    >>> Gather()([maps, weights]).shape
    (1, 2, 3, 5)
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.built = True

    def call(self, inputs: list[Tensor]) -> Tensor:
        maps, weights = inputs
        _, height, width, channels = ops.shape(maps)
        pixels = height * width
        gathered = ops.matmul(
            ops.reshape(weights, (-1, pixels, pixels)), ops.reshape(maps, (-1, pixels, channels))
        )
        return ops.reshape(gathered, (-1, height, width, channels))

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return tuple(input_shape[0])


def _offsets(height: Any, width: Any, mask: int) -> tuple[Tensor, Tensor]:
    """Compute two tensors `(pixels, pixels)` for the pairs of pixels `(i, j)`.

    Returns:
        The index of `m_i[j - i]` among the values of all pixels, int32, and whether the offset is within the
        mask, bool.
    """
    half = mask // 2
    pixel = ops.arange(height * width, dtype="int32")
    rows, columns = pixel // width, pixel % width
    down, right = rows[None] - rows[:, None], columns[None] - columns[:, None]
    visible = ops.logical_and(ops.abs(down) <= half, ops.abs(right) <= half)
    down, right = ops.clip(down, -half, half) + half, ops.clip(right, -half, half) + half
    return (pixel[:, None] * mask + down) * mask + right, visible


def psa_mask_size(crop_size: int, *, output_stride: int, shrink: int = 2) -> int:
    """Compute the size of an over-completed map that covers every offset in a training crop.

    Generalizes `2 ((crop - 1) // (8 shrink) + 1) - 1` of the authors to any stride.

    Args:
        crop_size: Height and width of the training crop in pixels.
        output_stride: Stride of the deepest features.
        shrink: Ratio by which the features are reduced for the attention.

    Example:

    >>> psa_mask_size(465, output_stride=8)
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
    """Build a decoder from high-level features and their point-wise attention.

    Two branches of attention (section 3 of the paper) run on features reduced by `shrink`: in one branch each
    pixel collects from the others, in the other it distributes to them; see `PointAttention`. With `x` the
    high-level features and `conv` a convolution with batch normalisation and ReLU,

        r_k      = down(conv1x1(x))                               k = collect, distribute
        z_k      = A_k r_k,   A_k from the map conv1x1(r_k) W_k   `mask * mask` channels, no bias
        features = conv3x3([x, up(conv1x1([z_collect, z_distribute]))])

    Differences from the code of the authors: `down` is the mean of `shrink x shrink` pixels and `up` has
    half-pixel centres (the authors align corners, on features of odd sizes), and the features have stride 4;
    see `pspnet` for the effect of the stride and the role of the low-level features.

    Args:
        low_channels: Number of channels of the low-level features, stride 4.
        high_channels: Number of channels of the deepest features, at stride 8 in the paper.
        mask: Height and width of the over-completed maps, odd; see `psa_mask_size`.
        attention_channels: Number of channels of each branch of attention.
        shrink: Ratio by which features are reduced for the attention, whose cost grows with the square of the
            number of pixels.
        decoder_channels: Number of output channels (512 in the code of the authors).
        batch_norm_momentum: Momentum of the moving statistics.
        name: Name of the model.

    Returns:
        A model from `[low (batch, h, w, low_channels), high (batch, h/u, w/u, high_channels)]` to features
        `(batch, h, w, decoder_channels)`.

    Raises:
        ValueError: `mask` is even.

    Example:

    >>> decoder = psanet(256, 2048, mask=psa_mask_size(320, output_stride=8))
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
