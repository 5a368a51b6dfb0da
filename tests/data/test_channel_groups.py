from __future__ import annotations

import cv2
import numpy as np
import pytest

from usrn_keras.data.batches.padding import GREY_MEAN, IMAGE_MEAN, neutral_colour, pad_image
from usrn_keras.data.channel_groups import by_channel_groups


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 9])
def test_each_channel_is_as_alone(channels):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, channels), dtype=np.uint8)
    to_source = np.array([[0.7, 0, 1], [0, 0.8, 2]])

    def warp(part):
        return cv2.warpAffine(part, to_source, (25, 15), borderMode=cv2.BORDER_REPLICATE)

    found = by_channel_groups(warp, image)
    expected = [warp(np.ascontiguousarray(image[..., channel])) for channel in range(channels)]
    np.testing.assert_array_equal(found, np.stack(expected, axis=-1))


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_images_are_padded_with_the_mean_of_each_band(channels):
    image = np.random.default_rng(1).integers(0, 256, (33, 60, channels), dtype=np.uint8)
    padded = pad_image(image)
    assert padded.shape == (64, 64, channels)
    np.testing.assert_array_equal(padded[:33, :60], image)
    np.testing.assert_array_equal(padded[-1, -1], np.rint(image.mean(axis=(0, 1))))


def test_the_neutral_colour_of_other_bands_is_the_mean_of_the_colours():
    assert neutral_colour(3) == IMAGE_MEAN
    assert round(sum(IMAGE_MEAN) / 3) == GREY_MEAN and neutral_colour(6) == (GREY_MEAN,) * 6
