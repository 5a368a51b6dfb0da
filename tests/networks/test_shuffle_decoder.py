"""The light decoder of CCT against values of the official code."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.methods.rival_golden import rival_golden
from usrn_keras.networks.shuffle_decoder import ShuffleDecoder, shuffle_decode

pytestmark = pytest.mark.every_backend


def value_of(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def test_values_of_the_official_code():
    golden = rival_golden("cct/decoder")
    weights = [golden["kernel_0"]]
    for number in (1, 2, 3):
        weights += [golden[f"kernel_{number}"], golden[f"bias_{number}"]]
    found = value_of(shuffle_decode(*map(keras.ops.convert_to_tensor, (golden["x"], *weights))))
    np.testing.assert_allclose(found, golden["out"], atol=1e-5 * np.abs(golden["out"]).max())
    decoder = ShuffleDecoder(6, classes=3, shuffles=3)
    for variable, weight in zip(decoder.weight_list, weights, strict=True):
        variable.assign(weight)
    np.testing.assert_allclose(value_of(decoder(golden["x"])), found, atol=1e-6)


def test_initial_weights_upsample_without_a_checkerboard():
    """Four equal pixels for each pixel, twice; the weights are those of the seed."""
    decoders = [ShuffleDecoder(8, classes=5, shuffles=2) for _ in range(2)]
    for decoder in decoders:
        decoder.draw_weights(np.random.default_rng(3))
    features = np.random.default_rng(0).normal(size=(2, 3, 4, 8)).astype("float32")
    found, again = (value_of(decoder(features)) for decoder in decoders)
    np.testing.assert_array_equal(found, again)
    small = found[:, ::4, ::4]
    np.testing.assert_allclose(found, small.repeat(4, axis=1).repeat(4, axis=2), atol=1e-6)
    assert found.any() and decoders[0].compute_output_shape((2, 3, 4, 8)) == found.shape


def test_initial_kernels_have_the_variance_of_he():
    decoder = ShuffleDecoder(400, classes=50, shuffles=1)
    decoder.draw_weights(np.random.default_rng(0))
    first, second, bias = (value_of(variable) for variable in decoder.weight_list)
    assert first.std() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert second.std() == pytest.approx((2 / 50) ** 0.5, rel=0.05)
    assert not bias.any()


def test_config():
    decoder = ShuffleDecoder(6, classes=3, shuffles=1)
    again = ShuffleDecoder.from_config(decoder.get_config())
    assert [w.shape for w in again.weight_list] == [w.shape for w in decoder.weight_list]
