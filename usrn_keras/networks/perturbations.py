"""The perturbations of the features in CCT, as pure functions whose random draws are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from usrn_keras.backends import input_gradient

Tensor = Any

DROP_RATE = 0.5  # of channel dropout
DROP_FROM = (0.7, 0.9)  # range of the share of the largest mean activation above which positions are dropped
NOISE_RANGE = 0.3  # of the multiplicative noise
ERASE = 0.4  # share of the height and of the width of the foreground that is cut out
ADVERSARIAL_XI = 0.1  # length of the step in which the adversarial direction is sought
ADVERSARIAL_NORM = 2.0  # of the adversarial perturbation of an image
NORM_EPSILON = 1e-8


def perturb(name: str, features: Tensor, draw: Tensor | None, foreground: Tensor) -> Tensor:
    """Perturb features as the decoders of a name in the options of CCT need them.

    Args:
        name: One of `usrn_keras.recipe.method_options.CCT_PERTURBATIONS`.
        features: Features `(batch, height, width, channels)`.
        draw: Random numbers as the function of the perturbation takes them, for `vat` the shift; None for a
            perturbation without.
        foreground: 1 where the prediction is not class 0, else 0, `(batch, height, width)`.

    Returns:
        Perturbed features of the same shape.
    """
    if name == "cutout":
        return cut_out(features, foreground, draw)
    if name in FOREGROUND_MASKS:
        return FOREGROUND_MASKS[name](features, foreground)
    return WITH_DRAW[name](features, draw)


def draw_shape(name: str, features: Tensor) -> tuple[Any, ...] | None:
    """Return the shape of the uniform numbers that a perturbation needs; None if it needs none.

    Args:
        name: See `perturb`.
        features: Features `(batch, height, width, channels)`.
    """
    batch, height, width, channels = ops.shape(features)
    shapes = {
        "drop": (batch, 1, 1, channels),
        "cutout": (batch, 2),
        "vat": (batch, height, width, channels),
        "feature_drop": (1,),
        "feature_noise": (1, height, width, channels),
    }
    return shapes.get(name)


def drop_channels(features: Tensor, uniform: Tensor) -> Tensor:
    """Drop half of the channels of each image, and double the others.

    Args:
        features: Features `(batch, height, width, channels)`.
        uniform: Uniform numbers in 0..1, `(batch, 1, 1, channels)`.

    Returns:
        Perturbed features, as for all functions of this file.
    """
    return features * (ops.cast(uniform >= DROP_RATE, features.dtype) / (1 - DROP_RATE))


def drop_active(features: Tensor, uniform: Tensor) -> Tensor:
    """Drop the positions of each image with the largest mean activation.

    A position is kept where the mean of its channels is below `u` times the largest mean of the image.

    Args:
        features: Features `(batch, height, width, channels)`.
        uniform: Uniform number in 0..1 of which `u` in 0.7..0.9 is made, any shape of one element.
    """
    low, high = DROP_FROM
    share = low + (high - low) * ops.reshape(uniform, (1, 1, 1, 1))
    attention = ops.mean(features, axis=-1, keepdims=True)
    largest = ops.max(attention, axis=(1, 2), keepdims=True)
    return features * ops.cast(attention < share * largest, features.dtype)


def add_noise(features: Tensor, uniform: Tensor) -> Tensor:
    """Multiply each value by 1 plus noise in -0.3..0.3, the same for all images.

    Args:
        features: Features `(batch, height, width, channels)`.
        uniform: Uniform numbers in 0..1, `(1, height, width, channels)`.
    """
    return features + features * (NOISE_RANGE * (2.0 * uniform - 1.0))


def keep_foreground(features: Tensor, foreground: Tensor) -> Tensor:
    """Set the features of the background to 0 (context masking).

    Args:
        features: Features `(batch, height, width, channels)`.
        foreground: 1 where the prediction is not class 0, else 0, `(batch, height, width)`.
    """
    return features * foreground[..., None]


def keep_background(features: Tensor, foreground: Tensor) -> Tensor:
    """Set the features of the foreground to 0 (object masking).

    Args:
        features, foreground: See `keep_foreground`.
    """
    return features * (1.0 - foreground)[..., None]


def cut_out(features: Tensor, foreground: Tensor, uniform: Tensor) -> Tensor:
    """Set a window inside the bounding box of the foreground of each image to 0.

    The window has 40 % of the height and of the width of the box, rounded down. An image without foreground
    is not changed. The official code cuts a window out of every connected component, which OpenCV finds on
    the host in the middle of the step; here shapes are static, so that the step compiles.

    Args:
        features: Features `(batch, height, width, channels)`.
        foreground: See `keep_foreground`.
        uniform: Uniform numbers in 0..1 that place the window, `(batch, 2)`, for the row and the column.
    """
    inside = [_window(ops.max(foreground, axis=other), uniform[:, axis]) for axis, other in enumerate((2, 1))]
    window = ops.logical_and(inside[0][:, :, None], inside[1][:, None])
    return features * ops.cast(ops.logical_not(window), features.dtype)[..., None]


def _window(occupied: Tensor, uniform: Tensor) -> Tensor:
    """Positions `(batch, side)` bool of a window within the occupied span of one side.

    Args:
        occupied: 1 at rows (or columns) with foreground, else 0, `(batch, side)`.
        uniform: Uniform numbers in 0..1, `(batch,)`.
    """
    side = occupied.shape[1]
    positions = ops.arange(side, dtype="float32")[None]
    first = ops.min(ops.where(occupied > 0, positions, float(side)), axis=1)
    last = ops.max(ops.where(occupied > 0, positions, -1.0), axis=1)
    span = ops.maximum(last - first + 1.0, 0.0)
    size = ops.floor(span * ERASE)
    begin = first + ops.floor(uniform * (span - size + 1.0))
    begin, size = begin[:, None], size[:, None]
    return ops.logical_and(begin <= positions, positions < begin + size)


def adversarial_shift(
    features: Tensor, uniform: Tensor, decode: Callable[[Tensor], Tensor], *, xi: float = ADVERSARIAL_XI
) -> Tensor:
    """Compute the shift of norm 2 of each image that changes a prediction most, without gradient (VAT).

    With `p = softmax(decode(z))`, `unit(x) = x / (|x| + 1e-8)` and a random direction `d`,

        shift = 2 unit(grad_d KL(p || softmax(decode(z + xi unit(d)))))

    The official configuration has `xi = 1e-6`. The gradient is then below the precision of float32 and small
    beside the 1e-8 of `unit`: the shift has a norm of about 1e-4, and the decoders of VAT see no
    perturbation. With `xi = 0.1`, the default of the function in that code, the norm is 2.

    Args:
        features: Features z, `(batch, height, width, channels)`.
        uniform: Uniform numbers in 0..1 of the direction, of the shape of the features.
        decode: Function from features to logits `(batch, rows, columns, classes)`.
        xi: Length of the step in which the direction is sought.

    Returns:
        Shift of the shape of the features.
    """
    features = ops.stop_gradient(features)
    probabilities = ops.stop_gradient(ops.softmax(decode(features), axis=-1))
    images = ops.cast(ops.shape(features)[0], features.dtype)

    def divergence(direction: Tensor) -> Tensor:  # without the entropy of p, which has no gradient
        log_probabilities = ops.log_softmax(decode(features + xi * direction), axis=-1)
        return -ops.sum(probabilities * log_probabilities) / images

    return ADVERSARIAL_NORM * _unit(input_gradient(divergence, _unit(uniform - 0.5)))


FOREGROUND_MASKS = {"context_masking": keep_foreground, "object_masking": keep_background}
WITH_DRAW = {
    "drop": drop_channels,
    "vat": ops.add,
    "feature_drop": drop_active,
    "feature_noise": add_noise,
}


def _unit(values: Tensor) -> Tensor:
    """Divide the values of each image by their norm."""
    norm = ops.sqrt(ops.sum(ops.square(values), axis=(1, 2, 3), keepdims=True))
    return values / (norm + NORM_EPSILON)
