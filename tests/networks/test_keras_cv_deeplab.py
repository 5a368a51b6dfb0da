"""keras-cv's DeepLabv3+ cloned: the same function, without its softmax and of any size of image."""

from __future__ import annotations

import keras
import numpy as np

from tests.networks.recorded import record, take_over_weights
from tests.tools import fill
from usrn_keras.networks import keras_cv as deeplab_file
from usrn_keras.networks.keras_cv import stock_model
from usrn_keras.networks.seeded import SeededDropout


def values_of(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


def test_features_are_those_of_keras_cv(monkeypatch):
    pairs = record(monkeypatch, deeplab_file)
    stock = stock_model(4, 6, low_level_channels=3, rates=[1, 2], channels=5, dropout=0.5)
    fill(stock.variables)
    decoder = deeplab_file._decoder(stock, 4, 6, "decoder", decoder_channels=256, batch_norm_momentum=0.9)
    take_over_weights(pairs)
    low, high = (stock.backbone.get_layer(name).output for name in ("low", "high"))
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype("float32")
    x = next(layer for layer in stock.layers if isinstance(layer, keras.layers.Concatenate)).output
    for layer in stock.segmentation_head.layers[:3]:  # what follows enlarges and classifies
        x = layer(x)
    expected = values_of(keras.Model(stock.input, x)(images, training=False))
    found = values_of(decoder(keras.Model(stock.backbone.input, [low, high])(images), training=False))
    assert found.shape == (2, 16, 16, 256) and np.abs(found).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_options_are_those_of_keras_cv():
    """Parameters that are learnt, by hand: the ASPP, its projection, the low-level features, the head."""
    stock = stock_model(4, 6, low_level_channels=3, rates=[1, 2], channels=5, dropout=0.5)
    decoder = deeplab_file._decoder(stock, 4, 6, "decoder", decoder_channels=7, batch_norm_momentum=0.5)
    pyramid = 2 * 6 * 5 + 2 * 9 * 6 * 5 + 4 * 2 * 5  # 1x1 and mean, two of 3x3, normalisation of each
    projection = 4 * 5 * 5 + 2 * 5
    low, head = 4 * 3 + 2 * 3, (5 + 3) * 7 + 2 * 7
    trained = sum(int(np.prod(variable.shape)) for variable in decoder.trainable_variables)
    assert trained == pyramid + projection + low + head
    normalisations = [layer for layer in decoder.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(normalisations) == 7 and {layer.momentum for layer in normalisations} == {0.5}
    assert [layer.rate for layer in decoder.layers if isinstance(layer, SeededDropout)] == [0.5]
