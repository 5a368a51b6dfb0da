"""Hard pixels, which alone count in a cross entropy: those that a network does not predict confidently."""

from __future__ import annotations

from typing import Any

from keras import ops

from usrn_keras.losses.upsampled_labels import label_probabilities

Tensor = Any

RAMP_SHARE = 0.4  # share of training after which the threshold has 99 % of its range
LARGEST_THRESHOLD = 0.9
OHEM_THRESHOLD, OHEM_KEPT = 0.7, 5 / 64  # share of the pixels: 50,000 of a crop of 800 x 800


def bootstrapped_pixels(
    logits: Tensor, labels: Tensor, valid: Tensor, progress: Tensor, *, end: float = LARGEST_THRESHOLD
) -> Tensor:
    """Select the pixels whose label has a probability below a threshold that grows during training.

    The mean cross entropy of these pixels is the annealed bootstrapped cross entropy of CCT (arXiv
    2003.09005, section 3.2). With C classes and `t = min(progress / 0.4, 1)`, the threshold is

        1 / C + (end - 1 / C) (1 - exp(-5 t))

    and at least the smallest but B probabilities, B the number of images, so that B pixels always count.

    Args:
        logits: Logits `(batch, height / f, width / f, classes)` with an integer f.
        labels: Labels `(batch, height, width)` int.
        valid: Pixels with a label, `(batch, height, width)` bool.
        progress: Completed share of training in 0..1, a tensor of one element.
        end: Threshold that is approached.

    Returns:
        `(batch, height, width)` bool, a mask for `cross_entropy`.
    """
    classes = logits.shape[-1]
    probabilities = label_probabilities(logits, ops.where(valid, ops.cast(labels, "int32"), 0))
    share = ops.minimum(ops.reshape(ops.cast(progress, "float32"), ()) / RAMP_SHARE, 1.0)
    threshold = 1 / classes + (end - 1 / classes) * (1.0 - ops.exp(-5.0 * share))
    lowest = ops.sort(ops.reshape(ops.where(valid, probabilities, 2.0), (-1,)))
    count = ops.sum(ops.cast(valid, "int32"))
    place = ops.maximum(ops.minimum(ops.cast(ops.shape(labels)[0], "int32"), count - 1), 0)
    return ops.logical_and(valid, probabilities < ops.maximum(threshold, ops.take(lowest, place)))


def ohem_pixels(
    logits: Tensor,
    labels: Tensor,
    valid: Tensor,
    *,
    threshold: float = OHEM_THRESHOLD,
    kept: int | None = None,
) -> Tensor:
    """Select the pixels of online hard example mining (OHEM), as in the code of CPS for Cityscapes.

    The mean cross entropy of these pixels is the loss. A pixel counts if the probability of its label is at
    most the threshold. If fewer than `kept` pixels do, the `kept` least confident ones count, and if fewer
    than `kept` pixels have a label, all of them.

    Args:
        logits: Logits `(batch, height / f, width / f, classes)` with an integer f.
        labels: Labels `(batch, height, width)` int.
        valid: Pixels with a label, `(batch, height, width)` bool.
        threshold: Largest probability of a hard pixel.
        kept: Number of pixels that count at least; None for 5/64 of all pixels.

    Returns:
        `(batch, height, width)` bool, a mask for `cross_entropy`.
    """
    probabilities = label_probabilities(logits, ops.where(valid, ops.cast(labels, "int32"), 0))
    lowest = ops.sort(ops.reshape(ops.where(valid, probabilities, 1.0), (-1,)))
    pixels = ops.cast(ops.size(labels), "int32")
    if kept is None:
        kept = ops.cast(ops.cast(pixels, "float32") * OHEM_KEPT, "int32")
    least = ops.take(lowest, ops.maximum(ops.minimum(kept, pixels) - 1, 0))
    few = ops.sum(ops.cast(valid, "int32")) < kept
    hard = ops.logical_or(probabilities <= ops.maximum(threshold, least), few)
    return ops.logical_and(valid, hard)
