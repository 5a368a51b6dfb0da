"""Any CNN of keras.applications, or a functional model of the user's, is a backbone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from usrn_keras.errors import RecipeError
from usrn_keras.networks import build_branches
from usrn_keras.networks.backbones import BACKBONES, find_backbone
from usrn_keras.networks.cut_backbone import cut_layers, output_strides, with_output_stride
from usrn_keras.networks.flat_graph import flat_graph

SMALL = {"aspp_rates": [2], "aspp_channels": 8, "low_level_channels": 4, "decoder_channels": 8}
# Published parameters with the classifier of 1000 classes (keras.io/api/applications).
PUBLISHED = {
    "mobilenetv2": 3_538_984,
    "efficientnetb0": 5_330_571,
    "efficientnetv2b0": 7_200_312,
    "convnexttiny": 28_589_128,
    "densenet121": 8_062_504,
    "resnet50v2": 25_613_800,
    "xception": 22_910_480,
}


def images(size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, size, size, 3)).astype("float32")


def numpy_of(value) -> np.ndarray:
    return keras.ops.convert_to_numpy(value)


@pytest.mark.parametrize("name", [*PUBLISHED, "mobilenetv3small"])
@pytest.mark.slow
def test_family(name, tmp_path):
    model = find_backbone(f"keras/{name}").build(1.0)
    if name in PUBLISHED:
        classifier = 1000 * (model.output_shape[-1] + 1)
        assert model.count_params() + classifier == PUBLISHED[name]
    flat = flat_graph(model)
    np.testing.assert_allclose(numpy_of(flat(images())), numpy_of(model(images())), rtol=1e-3, atol=1e-4)
    for output_stride in (16, 32):
        branch, _ = build_branches(
            f"keras/{name}", classes=3, weights="none", output_stride=output_stride, seed=0, **SMALL
        )
        low = branch.stem(images())
        assert low.shape[1:3] == (16, 16)
        assert branch.tail(low).shape[1:3] == (64 // output_stride, 64 // output_stride)
    segmenter = branch.segmenter()
    logits = numpy_of(segmenter(images()))
    assert logits.shape == (1, 64, 64, 3) and np.isfinite(logits).all()
    segmenter.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(numpy_of(again(images())), logits, rtol=1e-4, atol=1e-5)


def test_every_name_is_an_application():
    for name, backbone in BACKBONES.items():
        if name.startswith("keras/"):
            assert name == f"keras/{backbone.application.lower()}"
            assert callable(getattr(keras.applications, backbone.application))


def user_model(*, pool: bool = False, operation=None) -> keras.Model:
    """A model as a user writes one: a nested block, sums by `+`, a layer with `padding="valid"`."""
    inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = layers.Conv2D(8, 4, strides=4, activation="relu", name="patches")(x)
    x = x + layers.Conv2D(8, 3, padding="same", name="low")(x) * 0.5
    down = keras.Sequential([layers.BatchNormalization(), layers.Conv2D(12, 2, strides=2)], name="down")
    x = down(layers.Activation("gelu", name="low_end")(x))
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.SeparableConv2D(16, 3, strides=2, padding="same", name="separable")(x)
    x = layers.Conv2D(16, 3, padding="same", name="deep")(x)
    if pool:
        x = layers.AveragePooling2D(3, 1, padding="same", name="late_pool")(x)
    return keras.Model(inputs, x if operation is None else operation(x), name="mine")


def test_a_model_of_the_user_keeps_its_weights():
    model = user_model()
    branch, sub_branch = build_branches(model, classes=3, subclasses=5, seed=0, **SMALL)
    whole = keras.Model(branch.stem.input, branch.tail(branch.stem.output))
    low = branch.stem(images())
    assert low.shape[1:] == (16, 16, 8) and branch.tail(low).shape[1:] == (4, 4, 16)
    kernels = {v.path.split("/")[-2]: v for v in whole.variables if v.path.endswith("/kernel")}
    for name in ("patches", "low", "deep"):
        np.testing.assert_array_equal(numpy_of(kernels[name]), numpy_of(model.get_layer(name).kernel))
    assert sub_branch.stem is branch.stem
    # At its own stride the network is the model itself.
    own, _ = build_branches(model, classes=3, output_stride=32, seed=0, **SMALL)
    found = numpy_of(own.tail(own.stem(images())))
    np.testing.assert_allclose(found, numpy_of(model(images())), rtol=1e-5, atol=1e-6)


def test_dilation_keeps_the_features_of_nested_blocks():
    """Patches of 2 x 2 and separable convolutions: the features at stride 32 are among those at 16."""
    flat = flat_graph(user_model())
    assert not any(isinstance(layer, keras.Model) for layer in flat.layers)
    coarse, dense = numpy_of(flat(images(128))), numpy_of(with_output_stride(flat, 16)(images(128)))
    assert dense.shape[1:3] == (8, 8) and coarse.shape[1:3] == (4, 4)
    # TensorFlow's "same" pads a strided convolution at the end: its samples are the last of each cell.
    np.testing.assert_allclose(dense[:, 1::2, 1::2], coarse, rtol=1e-4, atol=1e-5)


def test_a_failing_conversion_says_which_layer_and_why():
    with pytest.raises(RecipeError, match="'late_pool' pools at stride 32, and a pooling layer cannot be"):
        build_branches(user_model(pool=True), classes=3, **SMALL)
    with pytest.raises(RecipeError, match=r"the operation 'tanh.*' \(Tanh\) cannot be converted"):
        build_branches(user_model(operation=keras.ops.tanh), classes=3, **SMALL)
    inputs = keras.Input((None, None, 3))
    shallow = keras.Model(inputs, layers.Conv2D(4, 3, strides=2, padding="same")(inputs), name="shallow")
    with pytest.raises(RecipeError, match="deepest features of 'shallow' have the stride 2"):
        build_branches(shallow, classes=3, **SMALL)
    jump = keras.Model(inputs, layers.Conv2D(4, 16, strides=16)(inputs), name="jump")
    with pytest.raises(RecipeError, match=r"'jump' has no layer at stride 4 .* have the strides 1, 16"):
        build_branches(jump, classes=3, **SMALL)
    with pytest.raises(RecipeError, match="one input and one output"):
        build_branches(keras.Sequential([layers.Conv2D(4, 3)]), classes=3, **SMALL)


def test_valid_convolutions_get_sizes_that_fit():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, name="a")(inputs)
    x = layers.Conv2D(4, 3, name="b")(x)
    x = layers.Conv2D(4, 3, strides=2, name="c")(x)
    converted = with_output_stride(keras.Model(inputs, x), 8)
    assert converted(images()).shape[1:3] == (16, 16)
    assert list(output_strides(converted).values()) == [1, 2, 2, 4]
    assert [layer.name for layer in cut_layers(converted)][-1] == "c"
