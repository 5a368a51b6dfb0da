"""The bound on how far logits look: checked by changing pixels beyond it, and just within it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from tests.tools import fill, tiny_branches
from usrn_keras.networks.receptive_field import local_network


def changed_at(model: keras.Model, size: int, centre: int) -> int:
    """Distance of the furthest pixel whose change changes the output at the centre, along a row."""
    images = np.full((1, size, size, 3), 100, "float32")
    before = keras.ops.convert_to_numpy(model(images))[0, centre, centre]
    for distance in range(size - centre - 1, 0, -1):
        images[0, :, centre + distance] = 255
        if not np.array_equal(keras.ops.convert_to_numpy(model(images))[0, centre, centre], before):
            return distance
    return 0


@pytest.mark.parametrize(
    ("made", "radius"),
    [
        (lambda x: layers.Conv2D(2, 3, padding="same")(x), 1),
        (lambda x: layers.Conv2D(2, 3, padding="same", dilation_rate=4)(x), 4),
        (lambda x: layers.Conv2D(2, 3)(layers.ZeroPadding2D(1)(x)), 2),
        (lambda x: layers.UpSampling2D(2)(layers.MaxPooling2D(2, padding="same")(x)), 5),
        (lambda x: layers.Add()([layers.DepthwiseConv2D(5, padding="same")(x), x]), 2),
    ],
)
def test_the_bound_of_single_layers(made, radius):
    images = keras.Input((None, None, 3))
    model = keras.Model(images, made(images))
    fill(model.variables)
    assert local_network(model).radius == radius
    assert 0 < changed_at(model, 32, 16) <= radius


def test_the_bound_of_a_segmenter_holds():
    model = tiny_branches(aspp_rates=[1])[0].segmenter()
    fill(model.variables)
    local = local_network(model)
    assert local.pooled_stride == 16 and local.mean is not None
    size = 2 * local.radius + 64
    size += -size % 32
    furthest = changed_at_columns(local.model, size)
    assert local.radius / 3 < furthest <= local.radius


def changed_at_columns(model: keras.Model, size: int) -> int:
    """Distance of the furthest column that differs after the first one of a noisy image has changed."""
    images = np.random.default_rng(0).integers(0, 256, (1, 64, size, 3)).astype("float32")
    before = keras.ops.convert_to_numpy(model(images))
    images[:, :, 0] = 255 - images[:, :, 0]
    after = keras.ops.convert_to_numpy(model(images))
    return int(np.nonzero((after != before).any(axis=(0, 1, 3)))[0].max())


@pytest.mark.parametrize(
    "made",
    [
        lambda x: layers.Conv2D(2, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x)),
        lambda x: layers.Conv2D(2, 3, strides=2, padding="same")(x),
        lambda x: layers.Softmax(axis=1)(x),
        lambda x: layers.Concatenate(axis=1)([x, x]),
        lambda x: x + 1.0,
    ],
)
def test_other_networks_are_not_local(made):
    images = keras.Input((64, 64, 3))
    assert local_network(keras.Model(images, made(images))) is None
