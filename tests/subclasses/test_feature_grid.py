from __future__ import annotations

import keras
import numpy as np
import pytest

from usrn_keras.subclasses.feature_grid import (
    contains_label,
    contains_nan,
    feature_labels,
    feature_size,
    half_precision,
)


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (1, 1), (5, 12)])
def test_feature_labels_take_the_pixel_nearest_to_the_centre(size):
    mask = np.arange(size[0] * size[1], dtype=np.uint16).reshape(size)
    labels = feature_labels(mask)
    assert labels.shape == feature_size(size)
    for (row, column), label in np.ndenumerate(labels):
        assert label == mask[min(4 * row + 2, size[0] - 1), min(4 * column + 2, size[1] - 1)]


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (1, 1), (5, 12)])
def test_cells_that_hold_a_label(size):
    mask = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), size, p=[0.03, 0.03, 0.94])
    found = contains_label(mask, 2)
    assert found.shape == feature_size(size)
    for (row, column), value in np.ndenumerate(found):
        assert value == (mask[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] < 2).any()


def test_negative_ids_are_ignored_too():
    assert not contains_label(np.full((4, 4), -1), 2).any()


@pytest.mark.every_backend
def test_features_beyond_float16_are_clipped():
    inputs = keras.Input((None,))
    identity = keras.Model(inputs, keras.layers.Identity()(inputs))
    values = np.array([[1e6, -np.inf, 0.5, 1 / 3, np.nan]], np.float32)
    found = np.asarray(half_precision(identity).predict_on_batch(values))
    expected = np.array([[65504, -65504, 0.5, 1 / 3, np.nan]], np.float16)
    np.testing.assert_array_equal(found, expected)


def test_nan_is_found_among_halves():
    halves = np.array([0.0, 65504, -np.inf, np.inf, -0.0], np.float16)
    assert not contains_nan(halves)
    assert contains_nan(np.append(halves, np.float16(np.nan)))
