from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.export.tiny_network import tiny_network
from usrn_keras.networks.native_export import rescaling, rewrite


class Replaced(keras.layers.UpSampling2D):
    """Stands for a layer that a converter can trace."""


@pytest.fixture
def network():
    return tiny_network()


def flat(model):
    return [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]


@pytest.mark.parametrize("invert", [False, True])
def test_rescaling_computes_what_normalization_does(invert):
    x = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype("float32")
    layer = keras.layers.Normalization(mean=[1.0, 2.0, -3.0], variance=[4.0, 0.0, 16.0], invert=invert)
    want, got = (keras.ops.convert_to_numpy(each(x)) for each in (layer, rescaling(layer)))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_rescaling_of_adapted_statistics():
    x = np.random.default_rng(0).uniform(0, 255, (8, 4, 5, 3)).astype("float32")
    layer = keras.layers.Normalization()
    layer.adapt(x)
    want, got = (keras.ops.convert_to_numpy(each(x)) for each in (layer, rescaling(layer)))
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_layers_are_swapped_also_inside_inner_models(network):
    traceable = rewrite(network, {keras.layers.UpSampling2D: Replaced})
    kinds = [type(layer) for layer in flat(traceable)]
    assert kinds.count(Replaced) == 2
    assert keras.layers.UpSampling2D not in kinds
    assert keras.layers.Normalization not in kinds


def test_function_and_weights_are_the_same(network):
    traceable = rewrite(network, {keras.layers.UpSampling2D: Replaced})
    x = np.random.default_rng(0).uniform(0, 255, (1, 64, 96, 3)).astype("float32")
    want, got = (keras.ops.convert_to_numpy(model(x)) for model in (network, traceable))
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert {id(weight) for weight in traceable.weights} == {id(weight) for weight in network.weights}


def test_the_model_itself_is_not_changed(network, tmp_path):
    before = network.to_json()
    rewrite(network, {keras.layers.UpSampling2D: Replaced})
    assert network.to_json() == before
    network.save(tmp_path / "still.keras")
    assert keras.models.load_model(tmp_path / "still.keras").output_shape == network.output_shape
