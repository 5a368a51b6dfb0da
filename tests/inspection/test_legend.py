from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.inspection.legend import OPACITY, STRIPE, hatching, overlay, resized

PALETTE = np.array([[200, 0, 0], [0, 200, 0]], np.uint8)


def test_classes_are_tinted_and_what_is_ignored_is_hatched():
    image = np.full((24, 24, 3), 100, np.uint8)
    labels = np.zeros((24, 24), np.int32)
    labels[:, 12:] = 255
    drawn = overlay(image, labels, PALETTE)
    tint = np.round((1 - OPACITY) * 100 + OPACITY * PALETTE[0])
    assert (drawn[:, :11] == tint).all()
    assert (drawn[:, 11] == 255).all()  # the outline
    ignored = drawn[:, 12:].reshape(-1, 3)
    assert (np.ptp(ignored, axis=1) == 0).all()  # grey over grey
    assert len(np.unique(ignored)) == 2


@pytest.mark.parametrize("ignore_index", [-1, 2, 255, 65535])
def test_any_value_that_is_no_class_is_ignored(ignore_index):
    drawn = overlay(np.zeros((12, 12, 3), np.uint8), np.full((12, 12), ignore_index), PALETTE)
    assert (np.ptp(drawn, axis=2) == 0).all() and len(np.unique(drawn)) == 2


def test_hatching_repeats_along_the_diagonal():
    stripes = hatching(3 * STRIPE, 3 * STRIPE)
    assert (stripes[1:, :-1] == stripes[:-1, 1:]).all()
    assert (stripes[:, STRIPE:] == stripes[:, :-STRIPE]).all()
    assert len(np.unique(stripes)) == 2


def test_labels_are_never_interpolated():
    labels = np.repeat([[0, 5]], 2, axis=0).astype(np.int32)
    assert np.unique(resized(labels, 7)).tolist() == [0, 5]
    assert resized(np.zeros((64, 64, 3), np.uint8), 32).shape == (32, 32, 3)
    assert resized(np.zeros((16, 16, 3), np.uint8), 32).shape == (32, 32, 3)
