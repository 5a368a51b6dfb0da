"""keras-cv's own call of each layer, and its formulas written anew in numpy, are the oracles."""

from __future__ import annotations

import colorsys
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import keras
import numpy as np
import pytest

from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.data.catalog import load_dataset
from usrn_keras.data.views.keras_cv_view import KerasCVView
from usrn_keras.errors import BackendError
from usrn_keras.optional import import_keras_cv
from usrn_keras.recipe import load_recipe
from usrn_keras.strong_view import StrongView

NEUTRAL = (1, 1, 1, 0, 0, 0)


@pytest.fixture(scope="module")
def view():
    return KerasCVView()


def _images(count=1, size=(6, 8)):
    images = np.random.default_rng(0).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    images[:, 0, 0], images[:, 0, 1], images[:, 0, 2] = 0, 255, 90
    return images


def _rows(*rows):
    return np.array(rows, np.float32)


def _pixelwise(image, change):
    """`change(h, s, v)` on every pixel, in HSV."""

    def changed(pixel):
        return np.array(colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))))

    return 255 * np.apply_along_axis(changed, -1, image / 255)


def _oracle(image, brightness, contrast, saturation, hue, grayscale, blur):
    image = np.clip(image + 255.0 * (brightness - 1), 0, 255)
    mean = image.mean(axis=(0, 1))
    image = np.clip((image - mean) * contrast + mean, 0, 255)
    image = _pixelwise(image, lambda h, s, v: ((h + hue) % 1, min(1, s * saturation), v))
    if grayscale:
        image = np.repeat((image @ [0.2989, 0.587, 0.114])[..., None], 3, axis=-1)
    return cv2.GaussianBlur(image, (5, 5), 1.1) if blur else image


@pytest.mark.parametrize(
    "parameters",
    [
        (0.6, 1, 1, 0, 0, 0),
        (1.4, 1, 1, 0, 0, 0),
        (1, 0.6, 1, 0, 0, 0),
        (1, 1.4, 1, 0, 0, 0),
        (1, 1, 0.6, 0, 0, 0),
        (1, 1, 1.4, 0, 0, 0),
        (1, 1, 0, 0, 0, 0),
        (1, 1, 1, 0.1, 0, 0),
        (1, 1, 1, -0.1, 0, 0),
        (1, 1, 1, 0, 1, 0),
        (1, 1, 1, 0, 0, 1),
        (1.3, 0.7, 1.2, -0.07, 0, 1),
        (0.8, 1.1, 0.7, 0.03, 1, 1),
    ],
)
def test_equals_the_oracle(view, parameters):
    images = _images()
    found = view(images, _rows(parameters))
    assert found.dtype == np.uint8 and found.shape == images.shape
    assert np.abs(found[0] - _oracle(images[0], *parameters)).max() <= 0.51  # it is rounded once


def test_equals_the_layers_called_by_themselves(view):
    """With ranges of one value the layers have nothing to draw but the sign of the hue."""
    layers = import_keras_cv("", "").layers
    images, grey = _images(), (1, 1, 1, 0, 1, 0)
    cases = [
        ((1.2, 1, 1, 0, 0, 0), layers.RandomBrightness((0.2, 0.2))),
        ((1, 1.3, 1, 0, 0, 0), layers.RandomContrast((0, 255), (-0.3, 0.3))),
        ((1, 1, 0.25, 0, 0, 0), layers.RandomSaturation((0.2, 0.2))),
        (grey, layers.Grayscale(3)),
    ]
    for parameters, layer in cases:
        called = keras.ops.convert_to_numpy(layer(images.astype(np.float32)))
        assert np.abs(view(images, _rows(parameters)) - called).max() <= 0.51
    hue = keras.ops.convert_to_numpy(layers.RandomHue((0.2, 0.2), (0, 255))(images.astype(np.float32)))
    both = [view(images, _rows((1, 1, 1, turns, 0, 0))) for turns in (0.1, -0.1)]
    assert min(np.abs(one - hue).max() for one in both) <= 0.51
    blurred = layers.RandomGaussianBlur(5, (1.1, 1.1))(images.astype(np.float32))
    inside = np.s_[:, 2:-2, 2:-2]  # keras-cv takes what lies outside the image as black
    difference = view(images, _rows((1, 1, 1, 0, 0, 1)))[inside] - keras.ops.convert_to_numpy(blurred)[inside]
    assert np.abs(difference).max() <= 0.51


def test_neutral_parameters_change_nothing(view):
    images = _images(2)
    np.testing.assert_array_equal(view(images, _rows(NEUTRAL, NEUTRAL)), images)


def test_a_flat_image_has_no_dark_border(view):
    images = np.full((1, 8, 8, 3), 200, np.uint8)
    np.testing.assert_array_equal(view(images, _rows((1, 1, 1, 0, 0, 1))), images)


def test_a_view_depends_on_its_image_and_parameters_alone(view):
    images, parameters = _images(6), StrongView().draw(np.random.default_rng(1), 6)
    together = view(images, parameters)
    with ThreadPoolExecutor(3) as threads:
        apart = list(threads.map(lambda n: view(images[n : n + 1], parameters[n : n + 1])[0], range(6)))
    np.testing.assert_array_equal(together, apart)


@pytest.fixture
def batches(recipe_file):
    def batches(*overrides, **options):
        recipe = load_recipe(str(recipe_file), ["views.strong=keras_cv", *overrides])
        return build_batches(recipe, load_dataset(recipe.data), **options)

    return batches


def test_batches_carry_the_strong_view(batches, view):
    found = batches().batch(3)
    assert "strong_parameters" not in found
    parameters = batches("views.strong=device").batch(3)["strong_parameters"]
    np.testing.assert_array_equal(found["strong"], view(found["weak"], parameters))
    assert (found["strong"] != found["weak"]).any()


def test_any_number_of_workers_gives_the_same_views(batches):
    source = batches()
    expected = [source.batch(step)["strong"] for step in (2, 3, 4)]
    for source.workers in (1, 3):
        found = [batch["strong"] for batch in source.iterate(2, 5)]
        np.testing.assert_array_equal(found, expected)


def test_batches_without_strong_views(batches):
    assert set(batches("views.strong=none").batch(0)) == {"labelled", "labels", "weak"}
    assert set(batches(spec=BatchSpec()).batch(0)) == {"labelled", "labels"}


@pytest.mark.parametrize("missing", ["keras_cv", "tensorflow"])
@pytest.mark.parametrize("unlabelled", [False, True])
def test_missing_package(batches, monkeypatch, missing, unlabelled):
    """It is said before the Baseline is trained, which needs none of it."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BackendError, match=f"needs keras-cv and tensorflow: {missing}") as caught:
        batches(spec=BatchSpec(unlabelled=unlabelled, strong=int(unlabelled)))
    assert "pip install keras-cv tensorflow, or choose views.strong = 'device'" in str(caught.value)
    batches("views.strong=device", spec=BatchSpec(unlabelled=unlabelled, strong=int(unlabelled)))


def test_package_that_cannot_be_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_cv", None)
    with pytest.raises(BackendError, match=r"needs keras-cv and tensorflow: import of keras_cv halted"):
        KerasCVView()


@pytest.mark.parametrize(("backend", "hidden"), [("torch", [([], "GPU")]), ("tensorflow", [])])
def test_tensorflow_is_kept_off_the_gpus_of_another_backend(monkeypatch, backend, hidden):
    import tensorflow

    calls = []
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    monkeypatch.setattr(tensorflow.config, "set_visible_devices", lambda *given: calls.append(given))
    import_keras_cv("", "")
    assert calls == hidden
