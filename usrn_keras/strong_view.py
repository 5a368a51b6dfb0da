"""The strong view: colour jitter, grayscale and blur, on the device.

`StrongView.draw` draws all random numbers on the host, so that every backend and every resumed run gets the
same views. `strong_view` is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

Tensor = Any

# ITU-R 601 luma, as in Pillow's conversion to grey.
LUMA = (0.299, 0.587, 0.114)

# The weights of OpenCV's `GaussianBlur(image, (5, 5), 0)`: sigma 0 means binomial weights up to 7 taps.
BLUR_WEIGHTS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)

# Columns of the parameters, and after them the places of red, green and blue where images have other bands.
BRIGHTNESS, CONTRAST, SATURATION, HUE, GRAYSCALE, BLUR = range(6)
RGB_COLUMNS, NOT_VISIBLE = 6, (-1, -1, -1)


@dataclass(frozen=True)
class StrongView:
    """Distribution of the parameters of strong views. The defaults are those of USRN.

    Brightness, contrast and saturation factors are uniform in `[max(0, 1 - a), 1 + a]`, the hue
    shift is uniform in `[-h, h]` turns of the colour circle, as in torchvision's `ColorJitter`.

    Args:
        jitter: Strength of brightness, contrast, saturation (each at least 0) and hue (0 to 0.5).
        jitter_probability: Probability of colour jitter, 0 to 1.
        grayscale_probability: Probability of conversion to grey, 0 to 1.
        blur_probability: Probability of Gaussian blur, 0 to 1.
        visible: Places of red, green and blue among the bands of an image, or `NOT_VISIBLE` if there are no
            such bands; empty for RGB images.

    Raises:
        ValueError: `jitter` has another length or a value out of range.

    Example:

    >>> parameters = StrongView().draw(np.random.default_rng(0), 8)
    >>> parameters.shape
    (8, 6)
    """

    jitter: Sequence[float] = (0.4, 0.4, 0.4, 0.1)
    jitter_probability: float = 0.8
    grayscale_probability: float = 0.2
    blur_probability: float = 0.5
    visible: Sequence[int] = ()

    def __post_init__(self) -> None:
        if len(self.jitter) != 4 or min(self.jitter) < 0 or self.jitter[HUE] > 0.5:
            raise ValueError(
                "`jitter` must be brightness, contrast, saturation (each at least 0) and hue (0 to 0.5), "
                f"received {self.jitter}"
            )

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw the parameters of the strong views of `n` images.

        Args:
            rng: Random generator.
            n: Number of images.

        Returns:
            `(n, 6)` float32: factors of brightness, contrast and saturation, the shift of the hue in
            turns, and 1 or 0 for grayscale and for blur. An image without jitter has 1, 1, 1, 0. With
            `visible` `(n, 9)`: its three places follow.
        """
        strength = np.array(self.jitter)
        lowest = np.concatenate([np.maximum(0, 1 - strength[:HUE]), -strength[HUE:]])
        highest = np.concatenate([1 + strength[:HUE], strength[HUE:]])
        jittered = rng.random((n, 1)) < self.jitter_probability
        colour = np.where(jittered, rng.uniform(lowest, highest, (n, 4)), [1, 1, 1, 0])
        switches = rng.random((n, 2)) < [self.grayscale_probability, self.blur_probability]
        places = np.broadcast_to(np.array(self.visible, float), (n, len(self.visible)))
        return np.concatenate([colour, switches, places], axis=1).astype(np.float32)


def strong_view(images: Tensor, parameters: Tensor) -> Tensor:
    """Compute the strong views of a batch of images.

    Brightness, contrast, saturation, hue, grayscale and blur are applied in this order, each clipped to
    0..255 as in torchvision. torchvision shuffles the first four; with a fixed order the whole batch is one
    computation, and every image still has its own parameters.

    Of images with other bands, red, green and blue are changed as above, where they are among the bands. For
    all other bands, saturation, hue and grayscale are not defined: their brightness changes by the same
    factor, their contrast about the mean of the band, and they are blurred alike.

    Args:
        images: `(batch, height, width, channels)` in 0..255, float32 or uint8, at least 3 x 3 pixels; RGB for
            6 columns of parameters.
        parameters: `(batch, 6)` or `(batch, 9)` float32 from `StrongView.draw`.

    Returns:
        `(batch, height, width, channels)` float32 in 0..255.

    Example:

    >>> images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    >>> views = strong_view(images, StrongView().draw(np.random.default_rng(0), 2))
    """
    images = ops.cast(images, "float32")
    columns = parameters.shape[-1]
    # Each parameter has the shape (batch, 1, 1, 1).
    parameters = ops.reshape(ops.cast(parameters, "float32"), (-1, columns, 1, 1, 1))
    jittered = _jittered_bands if columns > RGB_COLUMNS else _jittered
    images = jittered(images, parameters)
    return ops.where(parameters[:, BLUR] > 0, _blur(images), images)


def _jittered(images: Tensor, parameters: Tensor) -> Tensor:
    """Change the colours of RGB images."""
    images = _clip(images * parameters[:, BRIGHTNESS])
    mean = ops.mean(_grey(images), axis=(1, 2, 3), keepdims=True)
    images = _blend(images, mean, parameters[:, CONTRAST])
    images = _blend(images, _grey(images), parameters[:, SATURATION])
    hue = parameters[:, HUE]
    images = ops.where(hue == 0, images, _rotate_hue(images, hue))
    return ops.where(parameters[:, GRAYSCALE] > 0, _grey(images), images)


def _jittered_bands(images: Tensor, parameters: Tensor) -> Tensor:
    """Change the visible bands of images as RGB, and brightness and contrast of the others."""
    others = _clip(images * parameters[:, BRIGHTNESS])
    others = _blend(others, ops.mean(others, axis=(1, 2), keepdims=True), parameters[:, CONTRAST])
    channels = ops.cast(ops.arange(images.shape[-1]), "float32")
    places = [ops.cast(parameters[:, RGB_COLUMNS + colour] == channels, "float32") for colour in range(3)]
    # Sums with a single term that is not 0 are exact, as a matrix product on a GPU is not.
    rgb = [ops.sum(images * place, axis=-1, keepdims=True) for place in places]
    rgb = _jittered(ops.concatenate(rgb, axis=-1), parameters)
    back = sum(rgb[..., colour : colour + 1] * place for colour, place in enumerate(places))
    return ops.where(sum(places) > 0, back, others)


def _clip(images: Tensor) -> Tensor:
    return ops.clip(images, 0.0, 255.0)


def _grey(images: Tensor) -> Tensor:
    """Compute the luma, `(batch, height, width, 1)`."""
    red, green, blue = (images[..., channel : channel + 1] for channel in range(3))
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def _blend(images: Tensor, others: Tensor, factor: Tensor) -> Tensor:
    return _clip(factor * images + (1.0 - factor) * others)


def _rotate_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Shift the hue in HSV and keep saturation and value.

    The conversion back to RGB is `channel = V - C * max(0, min(k, 4 - k, 1))` with `k = (n + 6 H) mod 6` and
    n = 5, 3, 1 for red, green, blue: the usual six cases in one formula.
    """
    red, green, blue = (images[..., channel : channel + 1] for channel in range(3))
    value = ops.max(images, axis=-1, keepdims=True)
    chroma = value - ops.min(images, axis=-1, keepdims=True)
    divisor = ops.where(chroma > 0, chroma, 1.0)
    # The largest channel is found by order comparisons: `value == red` fails if a compiler computes the
    # images twice with different rounding.
    sextant = ops.where(
        ops.logical_and(red >= green, red >= blue),
        (green - blue) / divisor,
        ops.where(green >= blue, 2.0 + (blue - red) / divisor, 4.0 + (red - green) / divisor),
    )
    offsets = ops.reshape(ops.convert_to_tensor([5.0, 3.0, 1.0], dtype="float32"), (1, 1, 1, 3))
    position = ops.mod(sextant + 6.0 * turns + offsets, 6.0)
    return value - chroma * ops.clip(ops.minimum(position, 4.0 - position), 0.0, 1.0)


def _blur(images: Tensor) -> Tensor:
    """Apply a 5 x 5 Gaussian blur; the border is mirrored without repeating the edge pixel (reflect 101)."""
    for axis in (1, 2):
        padding = [(0, 0)] * 4
        padding[axis] = (2, 2)
        padded = ops.pad(images, padding, mode="reflect")
        images = sum(weight * _shifted(padded, axis, tap) for tap, weight in enumerate(BLUR_WEIGHTS))
    return images


def _shifted(padded: Tensor, axis: int, tap: int) -> Tensor:
    """Input of the `tap`-th of five taps, of the size of the image before padding."""
    window = slice(tap, tap - 4 if tap < 4 else None)
    return padded[:, window] if axis == 1 else padded[:, :, window]
