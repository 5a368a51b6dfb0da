"""Compare the logits of an exported model with those of the Keras model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.errors import ExportError

MIN_ARGMAX_AGREEMENT = 0.999


@dataclass(frozen=True, eq=False)
class Reference:
    """Images and their logits by the Keras model.

    Attributes:
        images: Batches of images of several sizes, float32 `(batch, height, width, bands)` in 0..255.
        logits: Logits of each batch, float32 of shape `(batch, height, width, classes)`.
    """

    images: tuple[np.ndarray, ...]
    logits: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, model: Any, input_size: tuple[int, int] | None) -> Reference:
        """Run `model` on random images of two shapes, or of two batch sizes if `input_size` is fixed."""
        import keras

        bands = model.inputs[0].shape[-1]
        images = tuple(random_images(shape, bands=bands) for shape in parity_shapes(input_size))
        logits = (model(keras.ops.convert_to_tensor(batch), training=False) for batch in images)
        return cls(images, tuple(keras.ops.convert_to_numpy(batch) for batch in logits))

    def save(self, path: Path) -> None:
        """Write the arrays to an `.npz` file."""
        images = {f"images_{i}": batch for i, batch in enumerate(self.images)}
        logits = {f"logits_{i}": batch for i, batch in enumerate(self.logits)}
        np.savez(path, **images, **logits)

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Read a file written by `save`."""
        with np.load(path) as arrays:
            count = len(arrays.files) // 2
            return cls(*(tuple(arrays[f"{kind}_{i}"] for i in range(count)) for kind in ("images", "logits")))


@dataclass(frozen=True)
class Parity:
    """Differences between an exported model and the Keras model; see `ExportReport`."""

    max_abs_difference: float
    relative_difference: float
    argmax_agreement: float

    def holds(self, tolerance: float) -> bool:
        """Whether logits are within tolerance and nearly all classes equal; false for not-a-number."""
        return self.relative_difference <= tolerance and self.argmax_agreement > MIN_ARGMAX_AGREEMENT


def parity_shapes(input_size: tuple[int, int] | None) -> list[tuple[int, int, int]]:
    """Return the shapes `(batch, height, width)` of the parity check."""
    if input_size is None:
        return [(1, 96, 160), (2, 128, 64)]
    return [(1, *input_size), (2, *input_size)]


def random_images(shape: tuple[int, int, int], seed: int = 0, *, bands: int = 3) -> np.ndarray:
    """Generate images of coloured blocks with noise, float32 `(batch, height, width, bands)` in 0..255.

    Pure noise averages out in a deep network and would give nearly equal pixels.
    """
    batch, height, width = shape
    rng = np.random.default_rng(seed)
    blocks = rng.uniform(0, 255, (batch, height // 16, width // 16, bands))
    blocks = blocks.repeat(16, axis=1).repeat(16, axis=2)
    noise = rng.normal(0, 20, (batch, height, width, bands))
    return np.clip(blocks + noise, 0, 255).astype("float32")


def compare(expected: Sequence[np.ndarray], received: Sequence[np.ndarray]) -> Parity:
    """Compare two lists of logits of shape `(batch, height, width, classes)`.

    Raises:
        ExportError: If the shapes differ.
    """
    for want, got in zip(expected, received, strict=True):
        if want.shape != got.shape:
            raise ExportError(
                f"exported logits have shape {got.shape}, required is {want.shape} as in the Keras model"
            )
    # np.max propagates not-a-number, unlike the built-in max.
    difference = float(np.max([np.abs(a - b).max() for a, b in zip(expected, received, strict=True)]))
    scale = max(float(np.max([np.abs(a).max() for a in expected])), np.finfo("float32").tiny)
    same = np.concatenate(
        [(a.argmax(-1) == b.argmax(-1)).ravel() for a, b in zip(expected, received, strict=True)]
    )
    return Parity(difference, difference / scale, float(same.mean()))


def check_parity(
    run: Callable[[np.ndarray], np.ndarray], reference: Reference, *, tolerance: float
) -> Parity:
    """Run an exported model on the reference's images and compare the logits.

    Args:
        run: Function from images of shape `(batch, height, width, bands)` to logits, both numpy float32.
        reference: Images and logits of the Keras model.
        tolerance: Maximum difference of two logits, relative to the largest logit.

    Raises:
        ExportError: If the logits differ by more than `tolerance`, or fewer than 99.9 % of the
            pixels have the same class.
    """
    parity = compare(reference.logits, [run(images) for images in reference.images])
    if not parity.holds(tolerance):
        raise ExportError(
            "the exported model differs from the Keras model, and was removed",
            errors=[
                f"relative difference of logits: {parity.relative_difference:.3g}; allowed: {tolerance:g}",
                f"pixels with the same class: {parity.argmax_agreement:.4%}; "
                f"required: more than {MIN_ARGMAX_AGREEMENT:.1%}",
            ],
            hint="Try another backend: KERAS_BACKEND=torch, jax or tensorflow.",
        )
    return parity
