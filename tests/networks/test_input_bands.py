"""What the first convolution computes for other bands, against the network for RGB."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from usrn_keras.errors import RecipeError
from usrn_keras.networks import build_branches
from usrn_keras.networks.backbones import BACKBONES, IMAGENET, Backbone
from usrn_keras.networks.input_bands import with_bands
from usrn_keras.recipe.bands import parse_bands


def stem():
    """A convolution after the layers that backbones normalise with; its weights are random."""
    images = keras.Input((None, None, 3))
    x = layers.Rescaling([1 / 50, 1 / 60, 1 / 70], [-1.0, -2.0, -3.0])(images)
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 1.0, 2.0])(x)
    x = layers.Conv2D(5, 3, strides=2, padding="same", bias_initializer="ones", name="first")(x)
    return keras.Model(images, layers.Conv2D(2, 1)(x))


def convolution():
    images = keras.Input((None, None, 3))
    return keras.Model(images, layers.Conv2D(5, 3, padding="same", bias_initializer="ones")(images))


def run(model, images):
    return ops.convert_to_numpy(model(np.asarray(images, "float32")))


def noise(channels):
    return np.random.default_rng(channels).normal(0, 1, (2, 12, 16, channels)).astype("float32")


def test_colours_in_another_order_and_an_empty_band_give_the_original_activations():
    model, images = convolution(), noise(4)
    images[..., 0] = 0
    extended = with_bands(model, parse_bands(["nir", "blue", "red", "green"]).colours, pretrained=True)
    expected = run(model, images[..., [2, 3, 1]])
    np.testing.assert_allclose(run(extended, images), expected, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_equal_bands_without_names_give_the_activations_of_grey(count):
    model, grey = convolution(), noise(1)
    extended = with_bands(model, (None,) * count, pretrained=True)
    expected = run(model, np.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(run(extended, np.repeat(grey, count, axis=-1)), expected, atol=1e-5)


def test_normalisation_of_other_bands_is_the_mean_of_the_colours():
    model, images = stem(), 100 + 20 * noise(4)
    extended = with_bands(model, (2, None, 0, 1), pretrained=True)
    scale, offset = np.array([1 / 50, 1 / 60, 1 / 70]), np.array([-1.0, -2.0, -3.0])
    mean, variance = np.array([0.1, 0.2, 0.3]), np.array([0.5, 1.0, 2.0])
    own = [2, 0, 1]  # colours of the bands 0, 2 and 3
    expected = np.empty_like(images)
    for band, (s, o, m, v) in zip(
        (0, 2, 3), zip(scale[own], offset[own], mean[own], variance[own], strict=True), strict=True
    ):
        expected[..., band] = (images[..., band] * s + o - m) / np.sqrt(v)
    other = [one.mean() for one in (scale, offset, mean, variance)]
    expected[..., 1] = (images[..., 1] * other[0] + other[1] - other[2]) / np.sqrt(other[3])
    before = keras.Model(extended.input, extended.get_layer("first").input)
    np.testing.assert_allclose(run(before, images), expected, rtol=1e-5, atol=1e-5)


def test_preprocessing_of_the_colours_is_their_own():
    layer = Backbone(lambda width: None, **IMAGENET).preprocess((None, 1, 0))
    scale, offset = IMAGENET["scale"], IMAGENET["offset"]
    np.testing.assert_allclose(layer.scale, [np.mean(scale), scale[1], scale[0]])
    np.testing.assert_allclose(layer.offset, [np.mean(offset), offset[1], offset[0]])


def test_without_pretrained_weights_the_kernel_is_drawn_for_all_bands():
    branch, _ = build_branches(
        "usrn/resnet14", classes=3, weights="none", width=0.25, seed=3, bands=["red", "green", "blue", 4]
    )
    kernel = next(w for w in branch.stem.weights if len(w.shape) == 4)
    values = ops.convert_to_numpy(kernel)
    assert values.shape[2] == 4
    np.testing.assert_allclose(values.std(), np.sqrt(2 / (9 * 4)), rtol=0.2)  # He, of four channels
    assert np.abs(values[:, :, 3] - 0.75 * values[:, :, :3].mean(axis=2)).max() > 0.01


def test_three_named_bands_build_the_network_of_today():
    weights = [
        [ops.convert_to_numpy(w) for w in build_branches(
            "usrn/resnet14", classes=3, weights="none", width=0.25, seed=3, bands=bands)[0].weights]
        for bands in ((), ("red", "green", "blue"), (4, 3, 2))
    ]  # fmt: skip
    for other in weights[1:]:
        assert all(np.array_equal(one, two) for one, two in zip(weights[0], other, strict=True))


@pytest.mark.parametrize(
    "name", ["keras/mobilenet", "keras/convnexttiny", "keras/efficientnetb0", "torchvision/resnet18"]
)
def test_backbones_of_each_supplier_take_six_bands(name):
    model = with_bands_of(name)
    assert model.input_shape[-1] == 6


def with_bands_of(name):
    from usrn_keras.networks.flat_graph import flat_graph

    return with_bands(flat_graph(BACKBONES[name].build(1.0)), (None,) * 6, pretrained=True)


def test_a_model_keeps_its_own_channels():
    images = keras.Input((None, None, 5))
    x = layers.Conv2D(4, 3, strides=4, padding="same")(images)
    model = keras.Model(images, layers.Conv2D(8, 3, strides=4, padding="same")(x))
    branch, _ = build_branches(model, classes=2, decoder_channels=8, aspp_channels=8, low_level_channels=4)
    assert branch.bands == 5
    with pytest.raises(RecipeError, match="takes 5 channels, `bands` has 2"):
        build_branches(model, classes=2, bands=["a", "b"])
    with pytest.raises(RecipeError, match="`bands` is not valid"):
        build_branches("usrn/resnet14", classes=2, bands=["a", "a"], weights="none")


def test_a_first_layer_that_is_no_convolution_is_refused():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, layers.Dense(4, name="mix")(images))
    with pytest.raises(RecipeError, match="'mix', is no convolution"):
        with_bands(model, (None,) * 4, pretrained=True)
