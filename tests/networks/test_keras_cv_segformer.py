"""keras-cv's SegFormer cloned: the same function, of any size of image."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest

from tests.networks.recorded import record, take_over_weights
from tests.tools import fill
from usrn_keras.errors import RecipeError, WeightsError
from usrn_keras.networks import build_branches
from usrn_keras.networks import keras_cv_segformer as segformer_file
from usrn_keras.networks.keras_cv_segformer import SIZES, encoder, segformer, stock_model
from usrn_keras.optional import without_tensorflow

# keras-cv's `MiTBackbone.presets`: parameters of the encoder and of a classifier of ten classes.
PUBLISHED = {
    "b0": 3_321_962,
    "b1": 13_156_554,
    "b2": 24_201_418,
    "b3": 44_077_258,
    "b4": 60_847_818,
    "b5": 81_448_138,
}


def values_of(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


def images_of(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, height, width, 3)).astype("float32")


@pytest.fixture(scope="module")
def parts():
    """The smallest network; nobody changes it."""
    return segformer("b0", weights="none", decoder_channels=16)


class MapsStayMaps:
    """keras-cv's `ops` with the order of pixels and channels that its attention mixes up put right."""

    def __getattr__(self, name):
        return getattr(keras.ops, name)

    def transpose(self, x, axes):
        return x if axes == [0, 2, 1] else keras.ops.transpose(x, axes)

    def reshape(self, x, shape):
        last = len(shape) == 3 and shape[-1] == -1
        return keras.ops.reshape(x, (shape[0], -1, shape[1]) if last else shape)


def test_features_are_those_of_keras_cv(monkeypatch):
    """On a square of the size that it was built at, with its attention put right."""
    pairs = record(monkeypatch, segformer_file)
    stock = stock_model("b0", 16)
    fill(stock.variables)
    whole = encoder(stock.backbone)
    decoder = segformer_file._decoder(stock, [maps.shape[-1] for maps in whole.outputs], 0.9, "decoder")
    take_over_weights(pairs)
    fused = next(layer for layer in stock.layers if isinstance(layer, keras.layers.Dropout)).input
    images = images_of(64, 64)
    before = values_of(keras.Model(stock.input, fused)(images, training=False))
    attention = sys.modules["keras_cv.src.layers.segformer_multihead_attention"]
    monkeypatch.setattr(attention, "ops", MapsStayMaps())
    expected = values_of(keras.Model(stock.input, fused)(images, training=False))
    found = values_of(decoder(whole(images, training=False), training=False))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(before - expected).max() > 0.1  # keras-cv as it is computes something else


@pytest.mark.parametrize("size", SIZES)
def test_published_parameters(size, parts):
    """Counted by hand from channels and depths, and for `b0` in the network that is built."""
    total, before = 0, 3
    for stage, (channels, depth) in enumerate(zip(*SIZES[size], strict=True)):
        patch, ratio = (7 if stage == 0 else 3), (8, 4, 2, 1)[stage]
        total += patch**2 * before * channels + channels + 2 * channels  # embedding and its normalisation
        attention = 4 * (channels**2 + channels)
        reduction = ratio**2 * channels**2 + channels + 2 * channels if ratio > 1 else 0
        ffn = 2 * 4 * channels**2 + 4 * channels + channels + (9 + 1) * 4 * channels
        total += depth * (attention + reduction + ffn + 4 * channels) + 2 * channels
        before = channels
    assert total + 10 * (before + 1) == PUBLISHED[size]
    if size == "b0":
        assert parts.stem.count_params() + parts.tail.count_params() == total


def test_maps_of_the_stages_have_the_papers_strides(parts):
    low = parts.stem(images_of(64, 96))
    assert [tuple(maps.shape[1:]) for maps in [low, *parts.tail(low)]] == [
        (16, 24, 32), (8, 12, 64), (4, 6, 160), (2, 3, 256),
    ]  # fmt: skip


def test_an_image_may_be_dropped_from_a_block_and_never_in_part(parts):
    dropouts = [layer for layer in parts.tail.layers if hasattr(layer, "rate")]
    rates = [layer.rate for layer in dropouts]
    np.testing.assert_allclose(rates, np.repeat(np.linspace(0, 0.1, 8)[2:], 2))  # blocks 2 to 7 of 8
    kept = values_of(dropouts[-1](np.ones((64, 2, 2, 3), "float32"), training=True))
    assert {len(np.unique(image)) for image in kept} == {1} and len(np.unique(kept)) == 2


def test_there_are_no_imagenet_weights():
    with pytest.raises(WeightsError, match="no ImageNet weights are available for keras_cv/segformer_b0"):
        segformer("b0", weights="imagenet")


def test_weights_of_a_file(tmp_path):
    """The encoder's: first stage and the others as one model."""
    source = encoder(stock_model("b0", 8).backbone)
    with without_tensorflow():
        source.save_weights(tmp_path / "mit.weights.h5")
    found = segformer("b0", weights=str(tmp_path / "mit.weights.h5"), decoder_channels=8)
    images = images_of(32, 64)
    low = found.stem(images, training=False)
    expected = source(images, training=False)
    np.testing.assert_array_equal(values_of(low), values_of(expected[0]))
    np.testing.assert_array_equal(values_of(found.tail(low, training=False)[-1]), values_of(expected[-1]))


def test_weights_of_another_network_are_refused(tmp_path):
    layers = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1)])
    layers.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(WeightsError, match="tensors differ"):
        segformer("b0", weights=str(tmp_path / "other.weights.h5"))


def test_unknown_architecture():
    with pytest.raises(RecipeError, match="unknown architecture 'keras_cv/segformer_b6'"):
        build_branches(architecture="keras_cv/segformer_b6", classes=2, weights="none")
