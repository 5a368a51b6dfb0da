"""A memory bank: the features and labels of the last steps, as variables that checkpoints keep."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from usrn_keras.losses.contrast import EMPTY

Tensor = Any


class FeatureBank(layers.Layer):
    """Features and labels of crops of former steps, first in, first out.

    Args:
        crops: Number of crops that the bank keeps; 0 for a bank of the current step alone, without variables.
        positions: Number of features of a crop.
        channels: Number of channels of a feature.

    Example:

    >>> bank = FeatureBank(crops=2, positions=9, channels=4)
    >>> features, labels = bank.push(ops.ones((2, 9, 4)), ops.ones((2, 9), dtype="int32"))
    >>> features.shape, int(labels[0, 0]), int(labels[2, 0])  # no former step, then this one
    ((4, 9, 4), -1, 1)
    """

    def __init__(self, crops: int, positions: int, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.features = self.labels = None
        if crops:
            shape, empty = (crops, positions), keras.initializers.Constant(EMPTY)
            self.features = self.add_weight(
                name="features", shape=(*shape, channels), initializer="zeros", trainable=False
            )
            self.labels = self.add_weight(
                name="labels", shape=shape, dtype="int32", initializer=empty, trainable=False
            )
        self.built = True

    def push(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Add the crops of a step, and drop the oldest ones.

        Args:
            features: Features of the step, `(crops, positions, channels)`; kept without gradient.
            labels: Their labels, `(crops, positions)` int32.

        Returns:
            Features and labels of the former steps and of this one; the label -1 marks empty places.
        """
        features = ops.stop_gradient(features)
        if self.features is None:
            return features, labels
        kept = self.features.shape[0]
        features = ops.concatenate([self.features.value, features])
        labels = ops.concatenate([self.labels.value, labels])
        self.features.assign(features[-kept:])
        self.labels.assign(labels[-kept:])
        return features, labels
