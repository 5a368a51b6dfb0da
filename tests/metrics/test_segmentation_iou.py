"""The Keras metric agrees with `Scores`, also beyond the counts that float32 holds."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from usrn_keras.metrics import Scores, confusion_matrix
from usrn_keras.metrics.segmentation_iou import LIMIT, SegmentationIoU

pytestmark = pytest.mark.every_backend
CLASSES = 4


def batch_of(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels without class 2, some of them without a class, and logits that predict class 2 too."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 3, 255], (2, 8, 8), p=[0.6, 0.2, 0.1, 0.1]).astype("int32")
    return labels, rng.normal(size=(2, 8, 8, CLASSES)).astype("float32")


def test_agrees_with_scores_over_several_batches():
    metric, rare = SegmentationIoU(CLASSES), SegmentationIoU(CLASSES, class_ids=[2, 3])
    confusion = 0
    for seed in range(3):
        labels, logits = batch_of(seed)
        metric.update_state(labels, logits)
        rare.update_state(labels, logits)
        confusion = confusion + confusion_matrix(labels, logits.argmax(-1), CLASSES)
    scores = Scores("model", "abcd", confusion)
    np.testing.assert_allclose(float(metric.result()), scores.miou, rtol=1e-6)
    np.testing.assert_allclose(float(rare.result()), scores.iou[3], rtol=1e-6)  # class 2 has no pixel
    metric.reset_state()
    assert float(metric.result()) == 0


def test_counts_stay_exact_where_float32_would_stop():
    """2^24 + 1 is no float32: a plain count would forget the pixel that is added."""
    metric = SegmentationIoU(2)
    metric.low.assign(np.float32([[LIMIT - 1, 0], [0, 0]]))
    metric.high.assign(np.float32([[2**10, 0], [0, 0]]))
    metric.update_state(np.zeros((1, 1, 2), "int32"), np.float32([[[[1, 0], [1, 0]]]]))
    low, high = (keras.ops.convert_to_numpy(part.value)[0, 0] for part in (metric.low, metric.high))
    assert int(low) + int(high) * int(LIMIT) == 2**30 + 2**20 + 1


def test_config_and_errors():
    metric = SegmentationIoU(3, ignore_index=0, class_ids=[1], name="rare")
    again = SegmentationIoU.from_config(metric.get_config())
    assert again.get_config() == metric.get_config()
    with pytest.raises(ValueError, match=r"`class_ids` must be in 0..2, received \[3\]"):
        SegmentationIoU(3, class_ids=[3])
    with pytest.raises(ValueError, match="`sample_weight` must be None"):
        metric(np.zeros((1, 1, 1), "int32"), np.zeros((1, 1, 1, 3), "float32"), np.ones(1))
