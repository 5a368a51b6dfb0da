"""The decoder of PSANet: every pixel of a map gathers from all others, and sends to them.

Zhao et al., "PSANet: Point-wise Spatial Attention Network for Scene Parsing", ECCV 2018.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import keras
from keras import layers, ops

from usrn_keras.networks.layers import ResizeLike, convolution

Tensor = Any
NOT_SEEN = -1e9  # as a logit: far below any other, and no infinity that a gradient could make NaN of


@keras.saving.register_keras_serializable(package="usrn_keras")
class PointAttention(layers.Layer):
    """Attention of each pixel over all pixels, read from an over-completed map.

    Each pixel `i` of the over-completed map `m` holds a logit for every offset, as a small image of
    `mask x mask` values with the pixel itself at its centre (section 3 of the paper). With `j - i` the
    offset from pixel `i` to pixel `j`:

        collect:     A[i, j] = exp(m_i[j - i]) / sum_k exp(m_i[k - i])     what `i` draws from `j`
        distribute:  A[j, i] = exp(m_i[j - i]) / sum_k exp(m_k[j - k])     what `i` sends to `j`

    Rows of `A` add up to 1 in both. `mask = 2 n - 1` covers every offset of a map of `n x n`. Of a smaller
    map only the offsets that lead to a pixel of it are read. In a larger one, pairs of pixels that are
    further apart than half the mask do not see each other; the authors' `PSAMask` gives them the logit 0
    there, which means nothing to a softmax, and evaluates windows of the training size alone.

    Args:
        kind: `collect` or `distribute`.
        mask: Height and width of the offsets, odd.
        **kwargs: Of `keras.layers.Layer`.

    Input `(batch, height, width, mask * mask)`, output `(batch, height, width, height * width)`: for each
    pixel its weights, with the pixels in rows. The softmax is computed in float32 whatever the precision.

    Raises:
        ValueError: An even `mask`, or another number of channels.

    Example:

    >>> PointAttention("collect", mask=5)(ops.zeros((1, 2, 3, 25)))[0, 0, 0].shape
    (6,)
    """

    def __init__(self, kind: Literal["collect", "distribute"], mask: int, **kwargs: Any):
        super().__init__(**kwargs)
        if mask % 2 == 0:
            raise ValueError(f"`mask` must be odd: its centre is the pixel itself; received {mask}")
        if kind not in ("collect", "distribute"):
            raise ValueError(f"`kind` must be 'collect' or 'distribute', received {kind!r}")
        self.kind = kind
        self.mask = mask
        self.built = True

    def call(self, maps: Tensor) -> Tensor:
        _, height, width, _ = ops.shape(maps)
        pixels = height * width
        places, seen = _offsets(height, width, self.mask)
        # Batch last: of the ways to gather, the one that PyTorch's exports take with free sizes.
        values = ops.transpose(ops.reshape(maps, (-1, pixels * self.mask**2)), (1, 0))
        order = (2, 0, 1) if self.kind == "collect" else (2, 1, 0)
        logits = ops.transpose(ops.cast(ops.take(values, places, axis=0), "float32"), order)
        # Of a map of a single pixel Keras' softmax warns that it is always 1, as it should be.
        weights = ops.exp(ops.log_softmax(ops.where(seen, logits, NOT_SEEN), axis=-1))
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
    """What each pixel gathers from all, `z_i = sum_j A[i, j] x_j`.

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
    """For each pair of pixels `(i, j)`, `(pixels, pixels)`: where `m_i[j - i]` lies among the values of all
    pixels, int32, and whether the offset is within the mask."""
    half = mask // 2
    pixel = ops.arange(height * width, dtype="int32")
    rows, columns = pixel // width, pixel % width
    down, right = rows[None] - rows[:, None], columns[None] - columns[:, None]
    seen = ops.logical_and(ops.abs(down) <= half, ops.abs(right) <= half)
    down, right = ops.clip(down, -half, half) + half, ops.clip(right, -half, half) + half
    return (pixel[:, None] * mask + down) * mask + right, seen


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
