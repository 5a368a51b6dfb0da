"""Mean IoU while Keras trains or evaluates, with the rules of `Scores`; the counts stay on the device."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any
LIMIT = 2.0**20  # the low part of a count, which float32 holds exactly with a batch of 16 million pixels


@keras.saving.register_keras_serializable(package="usrn_keras")
class SegmentationIoU(keras.metrics.Metric):
    """Mean intersection over union over the classes that some pixel belongs to, as in `usrn evaluate`.

    It differs from `keras.metrics.MeanIoU` in three ways. A class without a labelled pixel is left out even
    if it is predicted, so the means of two models are over the same classes. The input is logits. And counts
    are exact up to 2^44 pixels, where a float32 count stops growing at 2^24, at 8 images of Cityscapes.

    Args:
        classes: Number of classes C.
        ignore_index: Label of pixels without a class.
        class_ids: Classes to average over, such as the rare ones; None for all.
        name: Name of the metric in the logs.
        **kwargs: Arguments of `keras.metrics.Metric`.

    Raises:
        ValueError: A class id is outside the classes.

    Example:

    >>> import numpy as np
    >>> metric = SegmentationIoU(classes=3)
    >>> labels = np.array([[[0, 0, 1, 255]]])
    >>> logits = np.eye(3, dtype="float32")[[[[0, 1, 1, 2]]]]  # predicts 0, 1, 1, 2
    >>> float(metric(labels, logits))  # class 2 has no pixel
    0.5
    """

    def __init__(
        self,
        classes: int,
        *,
        ignore_index: int = 255,
        class_ids: list[int] | None = None,
        name: str = "miou",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        if class_ids is not None and not all(0 <= one < classes for one in class_ids):
            raise ValueError(f"`class_ids` must be in 0..{classes - 1}, received {class_ids}")
        self.classes = classes
        self.ignore_index = ignore_index
        self.class_ids = None if class_ids is None else [int(one) for one in class_ids]
        shape = (classes, classes)
        # Two parts of each count, because JAX has no int64 and TensorFlow no int32 variables on a GPU.
        self.low = self.add_variable(shape, initializer="zeros", dtype="float32", name="low")
        self.high = self.add_variable(shape, initializer="zeros", dtype="float32", name="high")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Any = None) -> None:
        """Count the pixels of a batch.

        Args:
            y_true: Labels `(batch, height, width)` int.
            y_pred: Logits or probabilities `(batch, height, width, C)`.
            sample_weight: Must be None.

        Raises:
            ValueError: `sample_weight` is given.
        """
        if sample_weight is not None:
            raise ValueError("`sample_weight` must be None: every labelled pixel counts once")
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        found = ops.reshape(ops.cast(ops.argmax(y_pred, axis=-1), "int32"), (-1,))
        counted = (labels != self.ignore_index) & (labels >= 0) & (labels < self.classes)
        # Pixels without a class are counted in a row of their own, which is then cut.
        cells = ops.where(counted, labels, self.classes) * self.classes + found
        counts = ops.segment_sum(ops.ones_like(cells), cells, (self.classes + 1) * self.classes)
        counts = ops.reshape(counts, (self.classes + 1, self.classes))[: self.classes]
        total = self.low + ops.cast(counts, "float32")
        carried = ops.floor(total / LIMIT)
        self.low.assign(total - carried * LIMIT)
        self.high.assign(self.high + carried)

    def result(self) -> Tensor:
        """Return the mean IoU, float32 in 0..1; 0 without a labelled pixel."""
        iou, present = self.iou_and_presence()
        if self.class_ids is not None:
            chosen = ops.sum(ops.one_hot(self.class_ids, self.classes, dtype="float32"), axis=0)
            present = present * chosen
        return ops.sum(iou * present) / ops.maximum(ops.sum(present), 1.0)

    def iou_and_presence(self) -> tuple[Tensor, Tensor]:
        """Return IoU and presence of each class.

        Returns:
            `(C,)` float32 in 0..1, 0 for an absent class; and `(C,)` float32, 1 for a class with a labelled
            pixel.
        """
        confusion = self.low + self.high * LIMIT
        hits, truth = ops.diagonal(confusion), ops.sum(confusion, axis=1)
        union = truth + ops.sum(confusion, axis=0) - hits
        return hits / ops.maximum(union, 1.0), ops.cast(truth > 0, "float32")

    def reset_state(self) -> None:
        """Set all counts to zero."""
        for variable in (self.low, self.high):
            variable.assign(ops.zeros(variable.shape, "float32"))

    def get_config(self) -> dict[str, Any]:
        names = ("classes", "ignore_index", "class_ids")
        return super().get_config() | {name: getattr(self, name) for name in names}
