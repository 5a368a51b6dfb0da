"""Pooling to bins and resizing, against their definitions pixel by pixel, at sizes known late."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from tests.tools import gradients
from usrn_keras.networks.layers import AdaptiveAveragePooling, ResizeLike

EVERY_BACKEND = pytest.mark.every_backend

# smaller than the bins, equal to them, divided by them and not
SIZES = [(1, 2), (6, 3), (12, 7), (5, 13)]
FEW = [(1, 2), pytest.param((7, 4), marks=EVERY_BACKEND), (6, 3)]


def maps_of(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, height, width, 3)).astype("float32")


def values_of(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


def means(maps: np.ndarray, bins: int) -> np.ndarray:
    """The mean of each cell from floor(i n / bins) to ceil((i + 1) n / bins)."""

    def cell(index: int, pixels: int) -> slice:
        return slice(math.floor(index * pixels / bins), math.ceil((index + 1) * pixels / bins))

    _, height, width, _ = maps.shape
    rows = [
        np.stack([maps[:, cell(i, height), cell(j, width)].mean((1, 2)) for j in range(bins)], 1)
        for i in range(bins)
    ]
    return np.stack(rows, 1)


def bilinear(maps: np.ndarray, axis: int, wanted: int) -> np.ndarray:
    """One axis, pixel by pixel: pixel centres at i + 1/2, nothing beyond the outermost ones."""
    pixels = maps.shape[axis]
    parts = []
    for place in range(wanted):
        at = min(max((place + 0.5) * pixels / wanted - 0.5, 0), pixels - 1)
        low, high = math.floor(at), math.ceil(at)
        share = at - low
        parts.append((1 - share) * maps.take(low, axis) + share * maps.take(high, axis))
    return np.stack(parts, axis)


@pytest.mark.parametrize("size", FEW)
@pytest.mark.parametrize("bins", [1, 3, 6])
def test_pooling_takes_the_mean_of_each_cell(bins, size):
    maps = maps_of(*size)
    np.testing.assert_allclose(values_of(AdaptiveAveragePooling(bins)(maps)), means(maps, bins), atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_pooling_is_that_of_pytorch(size):
    torch = pytest.importorskip("torch")
    maps = maps_of(*size)
    theirs = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(maps).permute(0, 3, 1, 2), 6)
    np.testing.assert_allclose(
        values_of(AdaptiveAveragePooling(6)(maps)), theirs.permute(0, 2, 3, 1).numpy(), atol=1e-6
    )


@pytest.mark.parametrize("like", [(1, 1), (6, 6), pytest.param((12, 9), marks=EVERY_BACKEND), (7, 4)])
@pytest.mark.parametrize("size", [(1, 1), (3, 6), (6, 2)])
def test_resizing_is_bilinear(size, like):
    maps = maps_of(*size)
    expected = bilinear(bilinear(maps, 1, like[0]), 2, like[1])
    found = ResizeLike()([maps, np.zeros((2, *like, 1), "float32")])
    np.testing.assert_allclose(values_of(found), expected, atol=1e-5)


def test_resizing_by_a_whole_number_is_that_of_keras():
    maps = maps_of(3, 5)
    theirs = keras.layers.UpSampling2D(4, interpolation="bilinear")(maps)
    found = ResizeLike()([maps, np.zeros((2, 12, 20, 7), "float32")])
    np.testing.assert_allclose(values_of(found), values_of(theirs), atol=1e-5)


@EVERY_BACKEND
@pytest.mark.parametrize("size", [(2, 5), (7, 6)])
def test_one_graph_for_all_sizes(size):
    """A model of unknown height and width, in a compiled function whose sizes are unknown as well."""
    images = keras.Input((None, None, 3))
    model = keras.Model(images, ResizeLike()([AdaptiveAveragePooling(3)(images), images]))
    assert model.output_shape == (None, None, None, 3)
    maps = maps_of(*size)
    expected = bilinear(bilinear(means(maps, 3), 1, size[0]), 2, size[1])
    np.testing.assert_allclose(values_of(compiled(model)(maps)), expected, atol=1e-5)


def compiled(model):
    """The model as its backend compiles it: on TensorFlow with sizes that are known when it runs."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec((None, None, None, 3), "float32")]
        return tf.function(model, input_signature=signature, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(model)
    return model


@EVERY_BACKEND
def test_gradients_are_the_transposed_matrices():
    """Every pixel of a cell gets its share of the cell's gradient; rows add up to 1, so all of it arrives."""
    maps = maps_of(5, 7)
    weights = keras.ops.convert_to_tensor(maps_of(3, 3, seed=1))
    (found,) = gradients(lambda x: keras.ops.sum(AdaptiveAveragePooling(3)(x) * weights), [maps])
    np.testing.assert_allclose(found.sum((1, 2)), values_of(weights).sum((1, 2)), atol=1e-5)
    assert (found != 0).all()


def test_precision_of_the_layer():
    layer = AdaptiveAveragePooling(2, dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(layer(maps_of(4, 4)).dtype) == "bfloat16"
