from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.metrics import boundary_counts

IGNORED = 255


def slow_counts(labels: np.ndarray, predictions: np.ndarray, classes: int, ratio: float) -> np.ndarray:
    """Pixel by pixel, class by class, as the paper defines it."""
    height, width = labels.shape
    distance = max(1, round(ratio * (height**2 + width**2) ** 0.5))
    valid = labels < classes

    def region(mask: np.ndarray) -> np.ndarray:
        near = np.zeros_like(mask)
        for row, column in np.argwhere(mask):
            for r in range(row - distance, row + distance + 1):
                for c in range(column - distance, column + distance + 1):
                    near[row, column] |= not (0 <= r < height and 0 <= c < width and mask[r, c])
        return near

    pairs = [(region((labels == c) & valid), region((predictions == c) & valid)) for c in range(classes)]
    return np.array([[(a & b).sum(), (a | b).sum()] for a, b in pairs])


def blocks(seed: int, height: int, width: int, classes: int) -> np.ndarray:
    """A map with regions of a few pixels."""
    cells = np.random.default_rng(seed).integers(0, classes, (height // 5 + 1, width // 5 + 1))
    return cells.repeat(5, 0).repeat(5, 1)[:height, :width]


@pytest.mark.parametrize(
    ("height", "width", "ratio"), [(23, 31, 0.02), (23, 31, 0.05), (30, 17, 0.1), (1, 40, 0.08), (9, 9, 0.9)]
)
@pytest.mark.parametrize("ignored", [0.0, 0.02])
def test_equals_the_slow_definition(height, width, ratio, ignored):
    labels, predictions = blocks(0, height, width, 3), blocks(1, height, width, 3)
    predictions = np.where(np.random.default_rng(2).random(labels.shape) < 0.6, labels, predictions)
    labels[np.random.default_rng(3).random(labels.shape) < ignored] = IGNORED
    found = boundary_counts(labels, predictions, 3, ratio)
    np.testing.assert_array_equal(found, slow_counts(labels, predictions, 3, ratio))
    assert found.dtype == np.int64


def test_a_square_by_hand():
    """10 x 10 in the middle of 30 x 30, d = round(0.02 * 42.4) = 1: an outline of 36 pixels."""
    labels = np.zeros((30, 30), int)
    labels[10:20, 10:20] = 1
    predictions = np.roll(labels, 1, axis=1)
    intersection, union = boundary_counts(labels, predictions, 2)[1]
    assert (intersection, union) == (18, 54)  # rows at the top and bottom, 9 of the 10 columns
    assert boundary_counts(labels, labels, 2)[1].tolist() == [36, 36]


def test_the_border_of_the_image_is_an_outline():
    labels = np.zeros((50, 50), int)
    assert boundary_counts(labels, labels, 1).tolist() == [[4 * 49, 4 * 49]]


def test_whatever_is_predicted_where_pixels_are_ignored_does_not_matter():
    labels = blocks(0, 40, 40, 3)
    labels[10:25, 10:25] = IGNORED
    counts = [
        boundary_counts(labels, np.where(labels == IGNORED, filled, labels), 3) for filled in (0, 1, 2, 9)
    ]
    for found in counts:
        np.testing.assert_array_equal(found, counts[0])
        np.testing.assert_array_equal(found[:, 0], found[:, 1])  # right wherever it can be: IoU 1


def test_absent_classes_and_empty_masks_have_no_boundary():
    labels = np.full((20, 20), IGNORED)
    assert not boundary_counts(labels, labels * 0, 2).any()
    labels[:] = 0
    assert boundary_counts(labels, labels, 3)[1:].tolist() == [[0, 0], [0, 0]]


def test_more_classes_than_eight_bits_hold():
    labels = blocks(0, 40, 40, 1000)
    predictions = np.where(blocks(5, 40, 40, 2) == 0, labels, blocks(1, 40, 40, 1000))
    few, places = np.unique(np.stack([labels, predictions]), return_inverse=True)
    small = boundary_counts(*places.reshape(2, 40, 40), len(few))
    np.testing.assert_array_equal(boundary_counts(labels, predictions, 1000)[few], small)
    assert len(few) < 256


def test_the_last_of_256_classes():
    """Predicted ids are uint8, whose 255 has no room for one more."""
    labels = np.zeros((8, 8), np.uint8)
    labels[2:6, 2:6] = 255
    intersection, union = boundary_counts(labels, labels, 256)[255]
    assert intersection == union > 0
