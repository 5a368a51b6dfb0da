"""The strong views of AugSeg: what is drawn, and what each change does to an image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from usrn_keras.data.views.random_intensity import CHANGES, RandomIntensity

NONE, AUTOCONTRAST, _, _, CONTRAST, BRIGHTNESS, COLOUR, _, POSTERIZE, SOLARIZE, HUE = range(11)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(20, 200, (2, 24, 16, 3), dtype=np.uint8)


def changed(images: np.ndarray, number: int, strength: float = 0.5) -> np.ndarray:
    """The images after one change."""
    return RandomIntensity()(images, np.tile(np.float32([number, strength]), (len(images), 1, 1)))


def test_one_to_three_changes_of_all_kinds_are_drawn_evenly():
    parameters = RandomIntensity(most=3).draw(np.random.default_rng(0), 30_000)
    numbers, strengths = parameters[..., 0].astype(int), parameters[..., 1]
    assert numbers.max() == len(CHANGES) - 1 == HUE
    first = np.bincount(numbers[:, 0], minlength=11) / len(numbers)
    np.testing.assert_allclose(first, 1 / 11, atol=0.01)
    # The second is there in two thirds of the images, the third in one; one in eleven is none.
    there = (numbers > 0).mean(0)
    np.testing.assert_allclose(there, np.array([1, 2 / 3, 1 / 3]) * 10 / 11, atol=0.01)
    np.testing.assert_allclose([strengths.mean(), strengths.std()], [0, 3**-0.5], atol=0.01)


def test_a_view_is_a_function_of_image_and_parameters(images):
    view = RandomIntensity()
    parameters = view.draw(np.random.default_rng(3), 2)
    first = view(images, parameters)
    assert first.shape == images.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(view(images[1:], parameters[1:]), first[1:])
    np.testing.assert_array_equal(changed(images, NONE), images)


@pytest.mark.parametrize("number", range(1, 11))
def test_every_change_changes_something(images, number):
    assert (changed(images, number) != images).any()


def test_factors_only_lower(images):
    """From 0.95 of the image to 0.05 of it: darker, greyer, flatter."""
    for strength, factor in ((0.0, 0.05), (1.0, 0.95)):
        np.testing.assert_allclose(changed(images, BRIGHTNESS, strength), factor * images, atol=1)
        spread = changed(images, CONTRAST, strength).std() / images.std()
        assert spread == pytest.approx(factor, abs=0.02)
        colours = changed(images, COLOUR, strength).astype(float).std(-1).mean() / images.std(-1).mean()
        assert colours == pytest.approx(factor, abs=0.02)


def test_levels_of_a_channel(images):
    assert len(np.unique(changed(images, POSTERIZE, 1.0))) <= 16
    np.testing.assert_array_equal(changed(images, POSTERIZE, 0.0), images & 0b11111110)
    np.testing.assert_array_equal(
        changed(images, SOLARIZE, 0.5), np.where(images < 128, images, 255 - images)
    )
    stretched = changed(images, AUTOCONTRAST)
    assert stretched.min() == 0 and stretched.max() == 255


def test_the_hue_turns_in_both_directions():
    red = np.full((1, 8, 8, 3), (200, 0, 0), np.uint8)
    turned = [changed(red, HUE, strength)[0, 0, 0] for strength in (1 / 3, -1 / 3)]
    hues = [2.0 * cv2.cvtColor(colour[None, None], cv2.COLOR_RGB2HSV)[0, 0, 0] for colour in turned]
    np.testing.assert_allclose(hues, [60, 300], atol=4)  # degrees
