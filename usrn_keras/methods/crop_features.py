"""Features, labels and confidences of a crop, position by position."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

Tensor = Any


class CropFeatures(NamedTuple):
    """Output of a network for a crop of U images, at P positions.

    Attributes:
        features: Features of unit length, `(U, P, channels)` float32.
        labels: Labels that select negatives, `(U, P)` int32.
        confidence: Confidences of F, `(U, P)` float32 in 0..1.
    """

    features: Tensor
    labels: Tensor
    confidence: Tensor

    def at(self, positions: Tensor) -> CropFeatures:
        """Take the values at positions.

        Args:
            positions: Positions `(U, P)` int32.
        """
        features = ops.take_along_axis(self.features, positions[..., None], axis=1)
        rest = (ops.take_along_axis(values, positions, axis=1) for values in self[1:])
        return CropFeatures(features, *rest)

    def where(self, mask: Tensor, other: CropFeatures) -> CropFeatures:
        """Take these values where a mask is true, and those of another crop where it is false.

        Args:
            mask: Mask `(U, P)` bool.
            other: Values of the other crop.
        """
        features = ops.where(mask[..., None], self.features, other.features)
        rest = (ops.where(mask, *values) for values in zip(self[1:], other[1:], strict=True))
        return CropFeatures(features, *rest)

    @property
    def rows(self) -> Tensor:
        """Features of all images, `(U * P, channels)`."""
        return ops.reshape(self.features, (-1, self.features.shape[-1]))
