"""Both sources of strong views draw what the paper's torchvision transforms draw:

`RandomApply([ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)`, `RandomGrayscale(p=0.2)` and a 5 x 5 blur with
p = 0.5. The parameters are read back from views of images that show them, and held against their
distributions at a fixed seed: Kolmogorov-Smirnov for factors, five standard deviations for shares.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import stats

from usrn_keras.data.views.keras_cv_view import KerasCVView
from usrn_keras.strong_view import StrongView, strong_view

COUNT = 2000
RED = (220, 110, 110)


@pytest.fixture(scope="module", params=["device", "keras_cv"])
def source(request):
    if request.param == "keras_cv":
        return KerasCVView()
    return lambda images, parameters: keras.ops.convert_to_numpy(strong_view(images, parameters))


def _views(source, image, view):
    """`COUNT` strong views of one image, float64, and whether each was jittered at all."""
    images = np.repeat(np.array(image, np.uint8)[None], COUNT, axis=0)
    parameters = view.draw(np.random.default_rng(11), COUNT)
    return source(images, parameters).astype(np.float64)


def _image(*colours):
    """4 x 4 pixels, columns of the given colours in turn."""
    return np.array([[colours[column % len(colours)] for column in range(4)]] * 4)


def _brightness(source, views):
    """torchvision multiplies, keras-cv adds `255 (f - 1)`."""
    grey = views[:, 0, 0, 0]
    return (grey - 128) / 255 + 1 if isinstance(source, KerasCVView) else grey / 128


READ_BACK = {  # what is varied, an image that shows it, and how
    "brightness": ((0.4, 0, 0, 0), _image((128,) * 3), _brightness),
    "contrast": (
        (0, 0.4, 0, 0),
        _image((64,) * 3, (192,) * 3),
        lambda _, views: (views[:, 0, 1, 0] - views[:, 0, 0, 0]) / 128,
    ),
    "saturation": ((0, 0, 0.4, 0), _image(RED), lambda _, views: np.ptp(views[:, 0, 0], axis=-1) / 110),
    "hue": (
        (0, 0, 0, 0.1),
        _image(RED),
        lambda _, views: (views[:, 0, 0, 1] - views[:, 0, 0, 2]) / (6 * np.ptp(views[:, 0, 0], axis=-1)),
    ),
}


@pytest.mark.parametrize("part", READ_BACK)
def test_factors_are_uniform_in_torchvisions_ranges(source, part):
    jitter, image, read_back = READ_BACK[part]
    lowest, highest = (-0.1, 0.1) if part == "hue" else (0.6, 1.4)
    always = StrongView(jitter, jitter_probability=1, grayscale_probability=0, blur_probability=0)
    factors = read_back(source, _views(source, image, always))
    rounding = 0.01  # of a uint8 view
    assert lowest - rounding <= factors.min() and factors.max() <= highest + rounding
    distance = stats.kstest(factors, stats.uniform(lowest, highest - lowest).cdf).statistic
    assert distance < 2.2 / np.sqrt(COUNT)  # exceeded once in 8,000 draws of that distribution


def _share_is(found, probability):
    return abs(np.mean(found) - probability) < 5 * np.sqrt(probability * (1 - probability) / COUNT)


def test_four_fifths_are_jittered_and_the_rest_untouched(source):
    jitter_alone = StrongView(grayscale_probability=0, blur_probability=0)
    image = _image(RED, (30, 200, 90))
    changed = (np.abs(_views(source, image, jitter_alone) - image) > 1e-3).any(axis=(1, 2, 3))
    assert _share_is(changed, 0.8)


def test_a_fifth_is_grey_and_a_half_is_blurred(source):
    image = np.tile(np.array(RED), (5, 5, 1))
    image[2, 2] = (0, 0, 250)
    views = _views(source, image, StrongView(jitter_probability=0))
    grey = np.ptp(views[:, 0, 0], axis=-1) < 1e-3
    blurred = np.abs(views[:, 1, 1] - views[:, 0, 0]).max(axis=-1) > 1
    assert _share_is(grey, 0.2) and _share_is(blurred, 0.5)
    assert _share_is(grey & blurred, 0.1), "one does not depend on the other"
