"""Backbones, cuts, strides and branches."""

from __future__ import annotations

from typing import get_args

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from tests.tools import fill, shared, tiny_branches
from usrn_keras.errors import RecipeError, WeightsError
from usrn_keras.networks import build_branches
from usrn_keras.networks.backbones import BACKBONES, find_backbone
from usrn_keras.networks.cut_backbone import cut_layers, output_strides, split, with_output_stride
from usrn_keras.networks.two_branch import Network
from usrn_keras.recipe.schema import NetworkSection

WEIGHTS = "weights/mobilenet_v1_1.0_224_to_conv_pw_12.weights.h5"


def numpy_of(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def image(size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype("float32")


def mobilenet() -> keras.Model:
    model = find_backbone("keras/mobilenet").build(0.25)
    fill(model.variables)
    return model


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilation_keeps_every_feature_that_stride_computed(output_stride):
    """Atrous convolution computes the same features, and those between them."""
    model = mobilenet()
    x = image(128) / 255
    coarse, dense = numpy_of(model(x)), numpy_of(with_output_stride(model, output_stride)(x))
    lost = 32 // output_stride
    # MobileNet pads its strided convolutions on the far side: its samples are the last of each cell.
    np.testing.assert_allclose(dense[:, lost - 1 :: lost, lost - 1 :: lost], coarse, atol=1e-4)


def test_output_stride_32_changes_nothing():
    model, x = mobilenet(), image() / 255
    np.testing.assert_array_equal(numpy_of(with_output_stride(model, 32)(x)), numpy_of(model(x)))


def test_a_pooling_layer_that_would_be_dilated_is_refused():
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=32, padding="same")(inputs)
    model = keras.Model(inputs, keras.layers.MaxPooling2D(3, 1, padding="same", name="odd")(x))
    with pytest.raises(RecipeError, match=r"the layer 'odd' pools at stride 32, .*cannot be dilated"):
        with_output_stride(model, 16)


def test_parts_compose_to_the_whole_at_every_cut():
    model, x = mobilenet(), image() / 255
    whole = numpy_of(model(x))
    cuts = [layer for layer in cut_layers(model) if layer.name.endswith("_relu")]
    assert len(cuts) == 27
    for layer in cuts[::6]:
        head, tail = split(model, layer)
        np.testing.assert_array_equal(numpy_of(tail(head(x))), whole)


def test_cuts_of_a_graph_with_shortcuts():
    inputs = keras.Input((None, None, 3), name="in")
    a = keras.layers.Conv2D(4, 1, name="a")(inputs)
    b = keras.layers.Conv2D(4, 1, name="b")(a)
    add = keras.layers.Add(name="add")([a, b])
    model = keras.Model(inputs, keras.layers.ReLU(name="out")(add))
    assert [layer.name for layer in cut_layers(model)] == ["in", "a", "add", "out"]


def test_strides_of_a_backbone():
    strides = output_strides(mobilenet())
    assert (strides["conv1_relu"], strides["conv_pw_3_relu"], strides["conv_pw_13_relu"]) == (2, 4, 32)


@pytest.mark.parametrize(
    ("sharing", "stem", "tail"), [("none", False, False), ("low", True, False), ("low_high", True, True)]
)
def test_sharing(sharing, stem, tail):
    branch, sub_branch = tiny_branches(sharing=sharing)
    assert (branch.stem is sub_branch.stem, branch.tail is sub_branch.tail) == (stem, tail)
    for part in ("stem", "tail"):  # unshared parts start equal
        for ours, theirs in zip(
            getattr(branch, part).get_weights(), getattr(sub_branch, part).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_logits_are_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        branch, _ = tiny_branches()
        features = branch.feature_model()(image(32))
        assert keras.backend.standardize_dtype(features.dtype) == "bfloat16"
        assert keras.backend.standardize_dtype(branch.segmenter()(image(32)).dtype) == "float32"
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("size", [(32, 64), (96, 32)])
def test_segmenter_gives_full_size(size):
    branch, _ = tiny_branches()
    assert branch.segmenter()(np.zeros((1, *size, 3), "float32")).shape == (1, *size, 3)


def test_saved_segmenter_is_the_same(tmp_path):
    branch, _ = tiny_branches()
    fill(branch.variables)
    segmenter = branch.segmenter()
    segmenter.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy_of(again(image())), numpy_of(segmenter(image())))


def test_a_stem_gives_the_backbone_what_its_weights_expect():
    """RGB in 0..255 comes in, and is rescaled as keras.applications does it for the published weights."""
    backbone = keras.applications.MobileNet((None, None, 3), alpha=0.25, include_top=False, weights=None)
    fill(backbone.variables)
    low = keras.Model(backbone.input, backbone.get_layer("conv_pw_3_relu").output)
    branch, _ = tiny_branches()
    branch.stem.set_weights(low.get_weights())
    expected = low(keras.applications.mobilenet.preprocess_input(image()))
    np.testing.assert_allclose(numpy_of(branch.stem(image())), numpy_of(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "black", "white"),
    [
        ("keras/mobilenet", (-1, -1, -1), (1, 1, 1)),
        ("keras/resnet50", (-123.68, -116.779, -103.939), (131.32, 138.221, 151.061)),
        ("keras_cv/resnet50", (0, 0, 0), (1, 1, 1)),
    ],
)
def test_black_and_white_as_the_backbones_expect_them(name, black, white):
    preprocess = find_backbone(name).preprocess()
    for value, expected in ((0, black), (255, white)):
        found = numpy_of(preprocess(np.full((1, 1, 1, 3), value, "float32")))
        np.testing.assert_allclose(found[0, 0, 0], expected, atol=1e-4)


@pytest.mark.parametrize("sharing", ["none", "low", "low_high"])
def test_perturbed_features_pass_the_decoders_beside_the_others(sharing):
    """The logits of the perturbed features come last; features that the branches share are perturbed once."""
    network, calls = Network(*tiny_branches(sharing=sharing)), []
    for branch in network.branches.values():
        fill(branch.variables)
    x = np.concatenate([image(), 255 - image()])

    def halved(features):
        calls.append(features.shape[-1])
        return 0.5 * features

    heads = ("F", "F_sub")
    found = network.logits(x, heads, training=False, perturb=halved)
    plain = network.logits(x, heads, training=False)
    assert len(calls) == {"none": 4, "low": 3, "low_high": 2}[sharing]
    for name, branch in network.branches.items():
        low = branch.stem(x)
        features = branch.decoder([0.5 * low, 0.5 * branch.tail(low)])
        expected = np.concatenate([numpy_of(plain[name]), numpy_of(branch.classifier(features))])
        np.testing.assert_allclose(numpy_of(found[name]), expected, rtol=1e-4, atol=1e-5)
        assert not np.allclose(expected[:2], expected[2:], atol=1e-3)


def test_published_weights_fit():
    options = {"weights": str(shared(WEIGHTS)), "backbone_end": "conv_pw_12_relu"}
    branch, sub_branch = build_branches("keras/mobilenet", classes=2, subclasses=3, **options)
    for ours, theirs in zip(branch.tail.get_weights(), sub_branch.tail.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    high = numpy_of(branch.tail(branch.stem(image())))
    assert 0.05 < (high > 0).mean() < 0.95  # neither dead nor saturated, as random weights would be


def test_weights_that_do_not_fit_are_listed(tmp_path):
    """A file of a part of the backbone, where all of it is asked for."""
    backbone = keras.applications.MobileNet((None, None, 3), alpha=0.25, include_top=False, weights=None)
    part = keras.Model(backbone.input, backbone.get_layer("conv_pw_12_relu").output)
    part.save_weights(tmp_path / "part.weights.h5")
    with pytest.raises(WeightsError, match="tensors differ") as error:
        tiny_branches(weights=str(tmp_path / "part.weights.h5"), backbone_end="")
    assert any("conv_2d_13" in fault or "conv2d_13" in fault for fault in error.value.errors), (
        error.value.errors
    )


def test_weights_that_are_no_file(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        tiny_branches(weights=str(tmp_path / "missing.weights.h5"))
    (tmp_path / "text.weights.h5").write_text("no HDF5")
    with pytest.raises(WeightsError, match="is not an HDF5 file"):
        tiny_branches(weights=str(tmp_path / "text.weights.h5"))


def legacy_file(path, model) -> str:
    """Weights as Keras 2 wrote them, and keras.applications has them on its servers."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    return str(path)


def test_weights_of_keras_2_fill_a_part_of_their_network(tmp_path):
    whole = keras.applications.MobileNet((None, None, 3), alpha=0.25, include_top=False, weights=None)
    fill(whole.variables)
    file = legacy_file(tmp_path / "mobilenet_2_5_tf_no_top.h5", whole)
    branch, _ = tiny_branches(weights=file)
    for ours, theirs in zip(branch.stem.get_weights(), whole.get_weights(), strict=False):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(WeightsError, match="does not fit") as error:
        tiny_branches(weights=file, width=0.5)
    assert error.value.errors[0] == "conv1: the network needs (3, 3, 3, 16), the file has (3, 3, 3, 8)"
    renamed = (tmp_path / "mobilenet_2_5_tf_no_top.h5").rename(tmp_path / "mobilenet.weights.h5")
    with pytest.raises(WeightsError, match=r"fits, but Keras reads it only if its name ends in \.h5"):
        tiny_branches(weights=str(renamed))


def test_imagenet_weights_are_of_one_width(monkeypatch, capsys):
    whole = keras.applications.MobileNet((None, None, 3), include_top=False, weights=None)

    def download(**options):
        if options["weights"] == "imagenet":
            print("Downloading data from somewhere")
        return whole

    monkeypatch.setattr(keras.applications, "MobileNet", download)
    branch = build_branches("keras/mobilenet", classes=2, weights="imagenet", width=1.0)[0]
    np.testing.assert_array_equal(branch.stem.get_weights()[0], whole.get_weights()[0])
    told = capsys.readouterr()
    assert told.out == "" and "Downloading" in told.err  # results alone belong on stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "keras/mobilnet"}, "unknown backbone 'keras/mobilnet'"),
        ({"backbone": "keras/resnet50", "width": 0.5}, "supports width 1 only"),
        ({"backbone": "keras/mobilenet", "backbone_end": "conv_99"}, "cannot end at 'conv_99'"),
        ({"backbone": "keras/mobilenet", "backbone_end": "conv1_relu"}, "cannot end at 'conv1_relu'"),
        (
            {"backbone": "keras/mobilenet", "backbone_end": "conv_pw_5_relu"},
            "'conv_pw_5_relu' with output stride 16; allowed: conv_dw_6",
        ),
        ({"backbone": "keras/mobilenet", "decoder": "pspnets"}, "unknown decoder 'pspnets'"),
    ],
)
def test_networks_that_do_not_exist(options, message):
    with pytest.raises(RecipeError, match=message):
        build_branches(classes=2, weights="none", **options)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_keras_cv_backbone(output_stride):
    branch, _ = build_branches(
        "keras_cv/resnet14", classes=3, weights="none", width=0.25, output_stride=output_stride,
        aspp_rates=[2], aspp_channels=8, decoder_channels=8,
    )  # fmt: skip
    low = branch.stem(image())
    assert low.shape[1:3] == (16, 16)
    assert branch.tail(low).shape[1:3] == (64 // output_stride, 64 // output_stride)
    assert branch.segmenter()(image()).shape == (1, 64, 64, 3)


def test_recipes_allow_the_backbones_that_there_are():
    allowed = get_args(NetworkSection.model_fields["backbone"].annotation)
    assert set(allowed) - {""} == set(BACKBONES)
