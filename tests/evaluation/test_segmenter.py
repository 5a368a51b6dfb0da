"""Prediction from Python in three lines: a file or a run, images of any size, classes with confidence."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from PIL import Image

from tests.data.band_files import write_tiff
from tests.evaluation.made_run import make_run
from tests.evaluation.networks import probabilities, random_convolution, random_image, red_reader
from usrn_keras.errors import DataError, RecipeError
from usrn_keras.evaluation import load
from usrn_keras.evaluation.segmenter import Segmenter
from usrn_keras.recipe.bands import parse_bands
from usrn_keras.runs import open_run

pytestmark = pytest.mark.every_backend


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="settings of PyTorch")
def test_loading_leaves_the_numerics_of_the_process(tmp_path):
    """A program that loads a segmenter has chosen its own kernels and its own precision."""
    import torch

    random_convolution(1).save(tmp_path / "model.keras")
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    try:
        load(tmp_path / "model.keras")
        assert torch.are_deterministic_algorithms_enabled()
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.benchmark) == before
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_file_gives_classes_confidence_and_colours(tmp_path):
    model = random_convolution(1)
    model.save(tmp_path / "model.keras")
    segmenter = load(tmp_path / "model.keras")
    image = random_image(32, 64)
    found = segmenter.predict(image[:20, :50])
    expected = probabilities(model, image)[:20, :50]
    np.testing.assert_array_equal(found.classes, expected.argmax(-1))
    np.testing.assert_allclose(found.confidence, expected.max(-1), atol=1e-5)
    np.testing.assert_array_equal(found.colours, segmenter.palette[found.classes])
    assert segmenter.names == ("0", "1", "2", "3") and found.colours.dtype == np.uint8
    Image.fromarray(image).save(tmp_path / "image.png")
    (again,) = segmenter.predict([tmp_path / "image.png"])
    np.testing.assert_array_equal(segmenter.predict(image[None])[0].classes, again.classes)


@pytest.mark.parametrize("options", [{"flip": True}, {"mode": "slide", "window": 32}])
def test_options_of_prediction(tmp_path, options):
    model = random_convolution(1)
    model.save(tmp_path / "model.keras")
    image = random_image(40, 64)
    found, plain = (load(tmp_path / "model.keras", **some).predict(image) for some in (options, {}))
    np.testing.assert_array_equal(found.classes, plain.classes)  # of a network that sees one pixel
    np.testing.assert_allclose(found.confidence, plain.confidence, atol=1e-5)


def test_a_run_gives_names_colours_and_options(tmp_path):
    make_run(tmp_path)
    run, segmenter = open_run(tmp_path / "run"), load(tmp_path / "run", flip=True)
    assert segmenter.names == run.classes and segmenter.options.flip
    np.testing.assert_array_equal(segmenter.palette, run.palette)
    image = np.zeros((7, 9, 3), np.uint8)
    image[..., 0] = 2
    assert (segmenter.predict(image).classes == 2).all()


def test_wrong_images_and_options(tmp_path):
    red_reader(3).save(tmp_path / "model.keras")
    segmenter = load(tmp_path / "model.keras")
    with pytest.raises(DataError, match=r"received the shape \(4, 4\) of uint8"):
        segmenter.predict(np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match="of float32"):
        segmenter.predict(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(RecipeError):
        load(tmp_path / "model.keras", mode="tiles")


def bands_model(channels):
    """Logits are a linear function of the bands."""
    images = keras.Input((None, None, channels))
    return keras.Model(images, keras.layers.Conv2D(4, 1)(images))


def test_arrays_have_the_bands_of_the_model(tmp_path):
    model = bands_model(6)
    kernel = np.eye(6, dtype="float32")[:, 2:][None, None]
    model.set_weights([kernel, np.zeros(4)])
    model.save(tmp_path / "model.keras")
    segmenter = load(tmp_path / "model.keras")
    image = np.random.default_rng(0).integers(0, 256, (20, 40, 6), dtype=np.uint8)
    np.testing.assert_array_equal(segmenter.predict(image).classes, image[..., 2:].argmax(-1))
    with pytest.raises(
        DataError, match=r"of 6 bands, \(height, width, 6\) .* received the shape \(20, 40, 3\)"
    ):
        segmenter.predict(image[..., :3])
    with pytest.raises(DataError, match="takes images of 6 bands, and its file does not say which"):
        segmenter.predict(tmp_path / "photo.tif")


def test_files_are_read_by_the_bands_of_the_run(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (20, 40, 5), dtype=np.uint8)
    path = write_tiff(tmp_path / "a.tif", image)
    model = bands_model(4)
    model.set_weights([np.eye(4, dtype="float32")[None, None], np.zeros(4)])
    bands = parse_bands(["red=2", "green=3", "blue=1", "nir=5"])
    segmenter = Segmenter(model, "abcd", np.zeros((4, 3)), bands=bands)
    found = segmenter.predict(path).classes
    np.testing.assert_array_equal(found, image[..., [1, 2, 0, 4]].argmax(-1))
    with pytest.raises(DataError, match=r"of 4 bands \(red, green, blue, nir\)"):
        segmenter.predict(image)
    Image.fromarray(image[..., :3]).save(tmp_path / "b.png")
    with pytest.raises(
        DataError, match=r"b\.png is a PNG of 3 bands of 8 bits; data.bands asks .* at least 5"
    ):
        segmenter.predict(tmp_path / "b.png")
