"""The confusion matrix against scikit-learn and a loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from usrn_keras.metrics import confusion_matrix


def loop(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    confusion = np.zeros((classes, classes), int)
    for label, prediction in zip(labels.ravel(), predictions.ravel(), strict=True):
        if 0 <= label < classes:
            confusion[label, prediction] += 1
    return confusion


@pytest.mark.parametrize("classes", [1, 2, 19])
def test_equals_a_loop_over_pixels(classes):
    rng = np.random.default_rng(classes)
    labels = rng.integers(-1, classes + 1, (3, 7, 5))
    labels[0, 0] = 255
    predictions = rng.integers(0, classes, (3, 7, 5))
    found = confusion_matrix(labels, predictions, classes)
    np.testing.assert_array_equal(found, loop(labels, predictions, classes))


def test_equals_scikit_learn():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 19, (2, 500))
    expected = metrics.confusion_matrix(labels, predictions, labels=range(19))
    np.testing.assert_array_equal(confusion_matrix(labels, predictions, 19), expected)


def test_small_types_do_not_overflow():
    labels, predictions = np.array([18, 18], np.uint8), np.array([17, 17], np.uint8)
    found = confusion_matrix(labels, predictions, 19)
    assert found.dtype == np.int64 and found[18, 17] == 2


def test_all_ignored_is_empty():
    labels = np.full((4, 4), 255)
    assert not confusion_matrix(labels, labels, 3).any()


def test_a_prediction_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match=r"in 0\.\.2, received values from 0 to 3"):
        confusion_matrix(np.array([0, 1]), np.array([0, 3]), 3)


def test_a_large_image_is_counted_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 4, (13, 17)), rng.integers(0, 3, (13, 17))
    whole = confusion_matrix(labels, predictions, 3)
    monkeypatch.setattr("usrn_keras.metrics.confusion.PIXELS_AT_ONCE", 50)
    np.testing.assert_array_equal(confusion_matrix(labels, predictions, 3), whole)
