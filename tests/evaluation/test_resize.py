from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.evaluation.resize import resized, scaled


@pytest.mark.parametrize("factor", [2, 3, 4])  # at 2, bilinear would give the same
def test_shrinking_takes_means_of_areas(factor):
    image = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    means = image.reshape(24 // factor, factor, 36 // factor, factor, 3).mean(axis=(1, 3))
    assert np.abs(scaled(image, 1 / factor) - means).max() <= 0.51


@pytest.mark.parametrize(("scale", "size"), [(1.0, (7, 5)), (1.5, (10, 8)), (0.01, (1, 1)), (2.0, (14, 10))])
def test_sizes_are_rounded_and_never_empty(scale, size):
    assert scaled(np.zeros((7, 5, 3), np.uint8), scale).shape == (*size, 3)


@pytest.mark.parametrize("channels", [1, 4, 128, 129, 300])
def test_back_to_size_for_any_number_of_classes(channels):
    values = np.random.default_rng(0).random((3, 2, channels), dtype=np.float32)
    found = resized(values, 6, 4)
    assert found.shape == (6, 4, channels)
    np.testing.assert_allclose(found[1, 1], bilinear(values, 0.25, 0.25), rtol=1e-5)
    np.testing.assert_allclose(found[0, 0], values[0, 0], rtol=1e-6)  # beyond the centres: the nearest


def bilinear(values: np.ndarray, row: float, column: float) -> np.ndarray:
    """Between the four pixels at the top left."""
    above = (1 - column) * values[0, 0] + column * values[0, 1]
    return (1 - row) * above + row * ((1 - column) * values[1, 0] + column * values[1, 1])
