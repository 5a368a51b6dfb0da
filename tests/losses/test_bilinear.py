"""Enlargement against Keras' layer, its transpose against the definition of one."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from usrn_keras.losses.bilinear import upsample, upsample_transposed

pytestmark = pytest.mark.every_backend


def values_of(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("size", [(5, 3), (1, 2)])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_both_axes_are_the_layer_of_keras(factor, size):
    values = random(2, *size, 3)
    layer = keras.layers.UpSampling2D(factor, interpolation="bilinear")
    found = upsample(upsample(keras.ops.convert_to_tensor(values), factor, axis=1), factor, axis=2)
    np.testing.assert_allclose(values_of(found), values_of(layer(values)), atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("length", [1, 2, 3, 6])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_transposed(factor, length, axis):
    """<upsample(x), y> = <x, upsample_transposed(y)>"""
    shape = [2, 3, 4]
    shape[axis] = length
    x = random(*shape)
    shape[axis] *= factor
    y = random(*shape)[::-1].copy()
    enlarged = values_of(upsample(keras.ops.convert_to_tensor(x), factor, axis=axis))
    reduced = values_of(upsample_transposed(keras.ops.convert_to_tensor(y), factor, axis=axis))
    assert enlarged.shape == y.shape and reduced.shape == x.shape
    assert (enlarged * y).sum() == pytest.approx((x * reduced).sum(), abs=1e-4)
