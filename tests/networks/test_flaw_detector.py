"""The flaw detector of GCT against values of the official code."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.methods.rival_golden import rival_golden
from usrn_keras.networks.flaw_detector import (
    DEVIATION,
    MEAN,
    BatchInstanceNormalization,
    detect_flaws,
    flaw_detector,
)

pytestmark = pytest.mark.every_backend

CONVOLUTIONS = ("conv1", "conv2", "conv2_1", "conv3", "conv3_1", "conv4", "conv4_1", "classifier")


def value_of(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.stop_gradient(tensor)))


def test_values_of_the_official_code():
    """Of images that were normalised by the mean colour and deviation of ImageNet."""
    golden = rival_golden("gct/network")
    detector = flaw_detector(classes=4, width=4)
    found = [layer for layer in detector.layers if isinstance(layer, layers.Conv2D)]
    for layer, name in zip(found, CONVOLUTIONS, strict=True):
        layer.set_weights([golden[f"{name}/kernel"], golden[f"{name}/bias"]])
    images = golden["images"] * DEVIATION + MEAN
    given = [ops.convert_to_tensor(array) for array in (images, golden["probabilities"])]
    flaws = value_of(detect_flaws(detector, *given))
    assert flaws.shape == (2, 96, 96)
    np.testing.assert_allclose(flaws, golden["out"], atol=1e-5 * np.abs(golden["out"]).max())


def test_half_of_the_channels_are_normalised_over_the_batch():
    maps = np.random.default_rng(0).normal(3, 2, (4, 6, 5, 5)).astype("float32")
    layer = BatchInstanceNormalization()
    found = value_of(layer(ops.convert_to_tensor(maps), training=True))
    for axes, channels in (((0, 1, 2), slice(0, 3)), ((1, 2), slice(3, 5))):
        part = np.float64(maps[..., channels])
        mean, variance = part.mean(axes, keepdims=True), part.var(axes, keepdims=True)
        expected = (part - mean) / np.sqrt(variance + 1e-5)
        np.testing.assert_allclose(found[..., channels], expected, atol=1e-4)
    assert [tuple(w.shape) for w in layer.trainable_weights] == [(3,), (3,)]


def test_the_smallest_images():
    """Of 64 pixels the detector finds one value; below, it finds none."""
    detector = flaw_detector(classes=2, width=2)
    images, probabilities = ops.ones((2, 64, 64, 3)), ops.ones((2, 64, 64, 2))
    flaws = value_of(detect_flaws(detector, images, probabilities))
    assert (flaws == flaws[:, :1, :1]).all()
    with pytest.raises(ValueError, match=r"at least 64 pixels on each side .* received 32 x 64"):
        detect_flaws(detector, images[:, :32], probabilities[:, :32])


def test_the_detector_is_saved(tmp_path):
    detector = flaw_detector(classes=2, width=2)
    detector.save(tmp_path / "detector.keras")
    again = keras.saving.load_model(tmp_path / "detector.keras")
    maps = ops.convert_to_tensor(np.random.default_rng(0).random((1, 64, 96, 5), dtype="float32"))
    np.testing.assert_array_equal(value_of(again(maps)), value_of(detector(maps)))


@pytest.mark.parametrize("bands", [1, 4])
def test_other_bands_are_normalised_by_the_mean_over_the_colours(bands):
    detector = flaw_detector(2, width=2, bands=bands)
    images = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, bands)).astype("float32")
    probabilities = np.full((1, 64, 64, 2), 0.5, "float32")
    mean, deviation = np.mean([123.675, 116.28, 103.53]), np.mean([58.395, 57.12, 57.375])
    inputs = np.concatenate([(images - mean) / deviation, probabilities], axis=-1)
    found = detect_flaws(detector, ops.convert_to_tensor(images), ops.convert_to_tensor(probabilities))
    small = ops.convert_to_numpy(detector(inputs, training=True))[0, ..., 0]
    np.testing.assert_allclose(ops.convert_to_numpy(found)[0, 0, 0], small[0, 0], rtol=1e-3, atol=1e-4)
