"""The oracle is written anew in numpy, pixel by pixel, with `colorsys` for HSV and OpenCV for the blur."""

from __future__ import annotations

import colorsys

import cv2
import keras
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from usrn_keras.strong_view import StrongView, strong_view

NEUTRAL = (1, 1, 1, 0, 0, 0)
SIZE = (6, 7)


def _images(count, seed=0, size=SIZE):
    images = np.random.default_rng(seed).uniform(0, 255, (count, *size, 3)).astype("float32")
    images[:, 0, 0] = 0  # black, white, grey and equal channels: where HSV has its special cases
    images[:, 0, 1] = 255
    images[:, 0, 2] = 90
    images[:, 0, 3] = (200, 200, 10)
    images[:, 0, 4] = (10, 200, 200)
    images[:, 0, 5] = (200, 10, 200)
    return images


def _view(images, *parameters):
    parameters = np.array(parameters, "float32")
    return keras.ops.convert_to_numpy(strong_view(keras.ops.convert_to_tensor(images), parameters))


def _blend(one, other, factor):
    return np.clip(factor * one + (1 - factor) * other, 0, 255)


def _grey(image):
    return (image @ [0.299, 0.587, 0.114])[..., None]


def _turn_hue(image, turns):
    def turn(pixel):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixel / 255))
        return np.array(colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)) * 255

    return np.apply_along_axis(turn, -1, image)


def _oracle(image, brightness, contrast, saturation, hue, grayscale, blur):
    image = np.clip(image.astype("float64") * brightness, 0, 255)
    image = _blend(image, _grey(image).mean(), contrast)
    image = _blend(image, _grey(image), saturation)
    image = _turn_hue(image, hue)
    if grayscale:
        image = np.repeat(_grey(image), 3, axis=-1)
    return cv2.GaussianBlur(image, (5, 5), 0) if blur else image


def test_neutral_parameters_change_nothing():
    images = _images(2)
    np.testing.assert_array_equal(_view(images, NEUTRAL, NEUTRAL), images)


@pytest.mark.parametrize(
    "parameters",
    [
        (0.6, 1, 1, 0, 0, 0),
        (1.4, 1, 1, 0, 0, 0),
        (0, 1, 1, 0, 0, 0),
        (1, 0.6, 1, 0, 0, 0),
        (1, 1.4, 1, 0, 0, 0),
        (1, 1, 0.6, 0, 0, 0),
        (1, 1, 1.4, 0, 0, 0),
        (1, 1, 1, 0.1, 0, 0),
        (1, 1, 1, -0.1, 0, 0),
        (1, 1, 1, 0.5, 0, 0),
        (1, 1, 1, 0, 1, 0),
        (1, 1, 1, 0, 0, 1),
        (1.3, 0.7, 1.2, -0.07, 0, 1),
        (0.8, 1.1, 0.7, 0.03, 1, 1),
    ],
)
def test_equals_the_oracle(parameters):
    images = _images(1)
    view = _view(images, parameters)
    assert view.dtype == np.float32 and view.shape == images.shape
    np.testing.assert_allclose(view[0], _oracle(images[0], *parameters), atol=2e-3)


def test_every_image_has_its_own_parameters():
    images, parameters = _images(12), StrongView().draw(np.random.default_rng(3), 12)
    assert len(np.unique(parameters[:, 4:], axis=0)) == 4, "all of grayscale and blur occur"
    expected = [_oracle(image, *row) for image, row in zip(images, parameters, strict=True)]
    np.testing.assert_allclose(_view(images, *parameters), expected, atol=2e-3)


def test_stays_in_range_at_strong_jitter():
    parameters = StrongView((3, 3, 3, 0.5), jitter_probability=1).draw(np.random.default_rng(0), 16)
    view = _view(_images(16), *parameters)
    assert np.isfinite(view).all() and view.min() >= 0 and view.max() <= 255


def test_takes_uint8():
    images = _images(1).astype("uint8")
    np.testing.assert_allclose(_view(images, NEUTRAL), images)


def test_smallest_image():
    images = _images(1, size=(3, 6))[:, :, :3]
    np.testing.assert_allclose(
        _view(images, (1, 1, 1, 0, 0, 1))[0], cv2.GaussianBlur(images[0], (5, 5), 0), atol=1e-3
    )


def test_compiled_view_equals_the_eager_one():
    images, parameters = _images(4), StrongView().draw(np.random.default_rng(1), 4)
    np.testing.assert_allclose(_compiled()(images, parameters), _view(images, *parameters), atol=1e-3)


def _compiled():
    """`strong_view` compiled by the backend; torch has nothing to compile in, so it runs without gradient."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(strong_view, jit_compile=True)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(strong_view)
    import torch

    return lambda *arrays: torch.no_grad()(strong_view)(*map(torch.from_numpy, arrays)).numpy()


def test_parameters_are_the_same_for_the_same_generator():
    first, again = (StrongView().draw(np.random.default_rng(5), 8) for _ in range(2))
    assert first.shape == (8, 6) and first.dtype == np.float32
    np.testing.assert_array_equal(first, again)


def test_no_images_no_parameters():
    assert StrongView().draw(np.random.default_rng(0), 0).shape == (0, 6)


def test_ranges_and_probabilities_are_torchvisions():
    parameters = StrongView().draw(np.random.default_rng(0), 20_000)
    jittered = parameters[(parameters[:, :4] != (1, 1, 1, 0)).any(axis=1)]
    shares = [len(jittered) / 20_000, *parameters[:, 4:].mean(axis=0)]
    np.testing.assert_allclose(shares, [0.8, 0.2, 0.5], atol=0.018)  # five standard deviations
    lowest, highest = [0.6, 0.6, 0.6, -0.1], [1.4, 1.4, 1.4, 0.1]
    np.testing.assert_allclose(jittered[:, :4].min(axis=0), lowest, atol=1e-3)
    np.testing.assert_allclose(jittered[:, :4].max(axis=0), highest, atol=1e-3)
    deciles = np.quantile(
        (jittered[:, :4] - lowest) / np.subtract(highest, lowest), np.linspace(0, 1, 11), axis=0
    )
    np.testing.assert_allclose(deciles, np.tile(np.linspace(0, 1, 11)[:, None], 4), atol=0.02)
    correlations = np.corrcoef(np.c_[jittered[:, :4], jittered[:, 4:]].T) - np.eye(6)
    assert np.abs(correlations).max() < 0.04


def test_factors_are_not_negative():
    parameters = StrongView((2, 2, 2, 0), 1).draw(np.random.default_rng(0), 2000)
    assert 0 <= parameters[:, :3].min() < 0.01 and 2.99 < parameters[:, :3].max() <= 3


@pytest.mark.parametrize(("probability", "expected"), [(0, 0), (1, 1)])
def test_certain_probabilities(probability, expected):
    view = StrongView(
        jitter_probability=probability, grayscale_probability=probability, blur_probability=probability
    )
    parameters = view.draw(np.random.default_rng(0), 100)
    assert (parameters[:, 4:] == expected).all()
    assert ((parameters[:, 0] != 1) == expected).all()


@pytest.mark.parametrize("jitter", [(0.4, 0.4, 0.4), (-0.1, 0.4, 0.4, 0.1), (0.4, 0.4, 0.4, 0.6)])
def test_impossible_jitter(jitter):
    with pytest.raises(ValueError, match="`jitter` must be"):
        StrongView(jitter)


def _pillow_hue(image, turns):
    """torchvision's `adjust_hue` of a Pillow image: a hue of 8 bits that wraps around."""
    hue, saturation, value = image.convert("HSV").split()
    shifted = Image.fromarray(np.asarray(hue) + np.uint8(int(turns * 255) % 256))
    return Image.merge("HSV", (shifted, saturation, value)).convert("RGB")


PILLOW = {  # what torchvision calls for Pillow images, and how far its rounding to 8 bits may lead
    "brightness": (0, lambda image, factor: ImageEnhance.Brightness(image).enhance(factor), 1),
    "contrast": (1, lambda image, factor: ImageEnhance.Contrast(image).enhance(factor), 1.5),
    "saturation": (2, lambda image, factor: ImageEnhance.Color(image).enhance(factor), 1.5),
    "hue": (3, _pillow_hue, 12),  # two steps of its 256 hues
    "grayscale": (4, lambda image, _: image.convert("L").convert("RGB"), 1),
}


@pytest.mark.parametrize("part", PILLOW)
def test_equals_torchvision_on_pillow_images(part):
    column, oracle, tolerance = PILLOW[part]
    images = np.random.default_rng(1).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    for value in {"hue": (-0.1, 0.04, 0.1), "grayscale": (1,)}.get(part, (0.6, 0.9, 1.4)):
        parameters = np.array(NEUTRAL, "float32")
        parameters[column] = value
        expected = np.asarray(oracle(Image.fromarray(images[0]), value)).astype(float)
        assert np.abs(_view(images, parameters)[0] - expected).max() <= tolerance


def test_blur_spreads_a_point_over_the_binomial_kernel():
    point = np.zeros((1, 7, 7, 3), "float32")
    point[0, 3, 3] = 128
    binomial = np.array([1, 4, 6, 4, 1])
    spread = _view(point, (1, 1, 1, 0, 0, 1))[0, 1:6, 1:6, 0]
    np.testing.assert_allclose(spread, 128 * np.outer(binomial, binomial) / 256, rtol=1e-6)
    np.testing.assert_allclose(cv2.GaussianBlur(point[0], (5, 5), 0)[1:6, 1:6, 0], spread, rtol=1e-6)


def _bands_oracle(image, visible, brightness, contrast, saturation, hue, grayscale, blur):
    """Bands without a colour: brightness by the factor, contrast about their own mean, and blur."""
    image = image.astype("float64")
    found = np.clip(image * brightness, 0, 255)
    found = _blend(found, found.mean(axis=(0, 1)), contrast)
    if visible:
        colours = _oracle(image[..., visible], brightness, contrast, saturation, hue, grayscale, 0)
        found[..., visible] = colours
    return cv2.GaussianBlur(found, (5, 5), 0).reshape(found.shape) if blur else found


@pytest.mark.parametrize("visible", [(2, 1, 0), (3, 0, 1), ()])
@pytest.mark.parametrize("channels", [4, 2, 1])
def test_views_of_other_bands(visible, channels):
    if visible and channels < 4:
        pytest.skip("too few bands")
    images = np.random.default_rng(5).uniform(0, 255, (3, *SIZE, channels)).astype("float32")
    rows = [(1.3, 0.7, 1.4, 0.1, 0, 0), (0.8, 1.2, 0.6, -0.05, 1, 0), (1, 1, 1, 0, 0, 1)]
    found = _view(images, *[(*row, *(visible or (-1, -1, -1))) for row in rows])
    for image, row, view in zip(images, rows, found, strict=True):
        np.testing.assert_allclose(view, _bands_oracle(image, list(visible), *row), atol=2e-2)


def test_visible_bands_have_the_view_of_rgb_to_the_bit():
    images, places = _images(4), (2, 0, 3)
    parameters = StrongView().draw(np.random.default_rng(1), 4)
    bands = np.zeros((4, *SIZE, 4), "float32")
    bands[..., places] = images
    found = _view(bands, *[(*row, *places) for row in parameters])
    np.testing.assert_array_equal(found[..., places], _view(images, *parameters))


def test_the_places_of_the_colours_follow_the_parameters():
    drawn = [StrongView(visible=places).draw(np.random.default_rng(3), 2) for places in ((), (2, 1, 0))]
    np.testing.assert_array_equal(drawn[0], drawn[1][:, :6])
    assert drawn[0].shape == (2, 6) and drawn[1][:, 6:].tolist() == [[2, 1, 0]] * 2
