"""Images of any bands as people see them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.band_files import write_tiff
from usrn_keras.data import Sample, as_rgb, read_sample_image, sample_size
from usrn_keras.recipe.bands import parse_bands


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(40, 90, (20, 30, 4), dtype=np.uint8)


def test_visible_bands_are_shown_as_they_are(image):
    bands = parse_bands(["blue", "green", "red", "nir"])
    np.testing.assert_array_equal(as_rgb(image, bands), image[..., [2, 1, 0]])
    assert as_rgb(image[..., :3]) is not None and (as_rgb(image[..., :3]) == image[..., :3]).all()


@pytest.mark.parametrize("entries", [[1, 2, 3, 4], ["nir", "swir"], ["grey"]])
def test_other_bands_are_stretched(image, entries):
    bands = parse_bands(entries)
    shown = as_rgb(image[..., : bands.count], bands)
    for channel in range(3):
        band = image[..., channel if bands.count >= 3 else 0]
        low, high = np.quantile(band, 0.02), np.quantile(band, 0.98)
        expected = np.rint(255 * np.clip((band - low) / (high - low), 0, 1))
        np.testing.assert_array_equal(shown[..., channel], expected)


def test_an_even_band_is_shown_as_it_is():
    image = np.full((4, 5, 1), 7, np.uint8)
    assert (as_rgb(image, parse_bands(["grey"])) == 7).all()


def test_a_sample_knows_its_bands_and_its_value_range(tmp_path, image):
    path = write_tiff(tmp_path / "a.tif", image.astype(np.uint16))
    sample = Sample("a", path, value_range=(0, 255), bands=parse_bands(["nir=4", 1]))
    np.testing.assert_array_equal(read_sample_image(sample), image[..., [3, 0]])
    assert sample_size(sample) == (20, 30)
