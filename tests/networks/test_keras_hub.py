"""Transformers and ResNets of keras-hub as backbones, with random weights; skipped where it is missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import keras
import numpy as np
import pytest

from usrn_keras.errors import RecipeError, WeightsError
from usrn_keras.networks import build_branches
from usrn_keras.networks.hub_backbones import HUB_BACKBONES
from usrn_keras.networks.hub_features import Folded, HubFeatures, maps_of
from usrn_keras.networks.hub_presets import copy_weights, load_preset
from usrn_keras.networks.operations import forward_flops

pytestmark = [
    pytest.mark.skipif(not importlib.util.find_spec("keras_hub"), reason="keras-hub is not installed"),
    pytest.mark.every_backend,
]

SMALL = {"aspp_rates": [2], "aspp_channels": 8, "low_level_channels": 4, "decoder_channels": 8}
WINDOW = 64


def tiny(kind: str) -> keras.Model:
    """A backbone as a user builds it from its class and arguments."""
    import keras_hub

    vit = {"num_layers": 1, "num_heads": 2, "intermediate_dim": 32}
    if kind == "mit":
        return keras_hub.models.MiTBackbone(
            hidden_dims=[16, 16, 32, 64], layerwise_depths=[1] * 4, num_layers=4,
            layerwise_num_heads=[1, 2, 2, 2], layerwise_sr_ratios=[8, 4, 2, 1], max_drop_path_rate=0.1,
            layerwise_patch_sizes=[7, 3, 3, 3], layerwise_strides=[4, 2, 2, 2],
            image_shape=(WINDOW, WINDOW, 3),
        )  # fmt: skip
    if kind == "dinov2":
        return keras_hub.models.DINOV2Backbone(
            patch_size=14, hidden_dim=32, image_shape=(56, 56, 3), position_embedding_shape=(70, 70), **vit
        )
    if kind == "dinov3":
        return keras_hub.models.DINOV3Backbone(
            patch_size=16, hidden_dim=32, image_shape=(WINDOW, WINDOW, 3), **vit
        )
    return keras_hub.models.ViTDetBackbone(
        patch_size=16, hidden_size=32, num_output_channels=32, global_attention_layer_indices=[0],
        image_shape=(WINDOW, WINDOW, 3), **vit,
    )  # fmt: skip


def images(height: int = WINDOW, width: int = WINDOW) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, height, width, 3)).astype("float32")


def numpy_of(value) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value))


@pytest.mark.parametrize("kind", ["mit", "dinov2", "dinov3", "vit_det"])
def test_family(kind, tmp_path):
    backbone = tiny(kind)
    branch, sub_branch = build_branches(backbone, classes=3, subclasses=7, seed=0, **SMALL)
    assert branch.stem is sub_branch.stem
    low = branch.stem(images())
    assert low.shape[1:3] == (16, 16)
    high = numpy_of(branch.tail(low))
    assert high.shape[1:3] == (4, 4)
    np.testing.assert_allclose(high, expected_high(backbone, kind), rtol=1e-4, atol=1e-5)
    segmenter = branch.segmenter()
    logits = numpy_of(segmenter(images(96, 160)))
    assert logits.shape == (1, 96, 160, 3) and np.isfinite(logits).all()
    np.testing.assert_allclose(numpy_of(segmenter(images(96, 160))), logits, rtol=1e-5)
    segmenter.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(numpy_of(again(images(96, 160))), logits, rtol=1e-4, atol=1e-5)
    assert forward_flops(branch.stem, WINDOW, WINDOW) > 0


def expected_high(backbone: keras.Model, kind: str) -> np.ndarray:
    """What the backbone itself gives for a preprocessed image of its own size."""
    x = images() / 255
    if kind != "vit_det":
        x = (x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = np.float32(x)
    if kind == "mit":
        return numpy_of(maps_of(backbone, "P1", "P3")(x)[1])
    if kind == "dinov2":
        x = numpy_of(keras.ops.image.resize(x, (56, 56)))
    name = {"dinov2": "images", "dinov3": "pixel_values"}.get(kind)
    found = numpy_of(backbone({name: x} if name else x))
    return found[:, -16:].reshape(1, 4, 4, -1) if kind.startswith("dino") else found


def test_squares_are_computed_by_themselves():
    layer = HubFeatures(
        "DINOV3Backbone", tiny("dinov3").get_config() | {"image_shape": (WINDOW, WINDOW, 3)}, WINDOW
    )
    image = images(2 * WINDOW, 3 * WINDOW)
    whole = numpy_of(layer(image))
    assert whole.shape == (1, 32, 48, 2)
    for row in range(2):
        for column in range(3):
            square = image[:, row * WINDOW :, column * WINDOW :][:, :WINDOW, :WINDOW]
            found = whole[:, 16 * row :, 16 * column :][:, :16, :16]
            np.testing.assert_allclose(found, numpy_of(layer(square)), rtol=1e-4, atol=1e-5)


def test_the_simple_pyramid_is_trained_with_a_frozen_backbone():
    branch, _ = build_branches(tiny("dinov3"), classes=3, frozen="backbone", seed=0, **SMALL)
    assert not branch.stem.trainable_variables and not branch.tail.weights
    names = {layer.name for layer in branch.decoder.layers if layer.trainable_variables}
    assert {"stride_8", "stride_4"} <= names


@pytest.mark.parametrize("kind", ["mit", "dinov3"])
def test_a_step_moves_every_part(kind):
    from usrn_keras import Supervised

    model = Supervised(build_branches(tiny(kind), classes=3, seed=0, **SMALL)[0])
    model.compile(keras.optimizers.Adam(0.01))
    before = [numpy_of(variable).copy() for variable in model.trainable_variables]
    labels = np.arange(WINDOW * WINDOW).reshape(1, WINDOW, WINDOW).astype("uint8") % 3
    two = np.concatenate([images(), 255 - images()])
    both = {"labelled": two, "labels": np.repeat(labels, 2, 0)}
    history = model.fit(both, batch_size=2, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    still = [
        variable.path
        for start, variable in zip(before, model.trainable_variables, strict=True)
        if (start == numpy_of(variable)).all()
    ]
    assert all(path.endswith("mask_token") for path in still), still


def test_adapters_in_the_layers_of_a_transformer():
    branch, _ = build_branches(tiny("dinov3"), classes=3, frozen="backbone", lora_rank=2, seed=0, **SMALL)
    assert any("lora" in variable.path for variable in branch.stem.trainable_variables)


def test_a_saved_segmenter_loads_in_a_new_process(tmp_path):
    branch, _ = build_branches(tiny("mit"), classes=3, seed=0, **SMALL)
    branch.segmenter().save(tmp_path / "model.keras")
    np.save(tmp_path / "logits.npy", numpy_of(branch.segmenter()(images())))
    code = (
        "import sys, numpy as np, usrn_keras\n"
        "folder = sys.argv[1]\n"
        "image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype('uint8')[0]\n"
        "found = usrn_keras.load(folder + '/model.keras').predict(image)\n"
        "assert (found.classes == np.load(folder + '/logits.npy')[0].argmax(-1)).all()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_weights_of_a_preset_folder(tmp_path):
    backbone = tiny("mit")
    backbone.save_to_preset(str(tmp_path / "preset"))
    loaded = load_preset("MiTBackbone", str(tmp_path / "preset"), (96, 96, 3))
    target = maps_of(tiny("mit"), "P1", "P3")
    copy_weights(maps_of(loaded, "P1", "P3"), target, "tiny", "preset")
    for ours, theirs in zip(target.weights, maps_of(backbone, "P1", "P3").weights, strict=True):
        np.testing.assert_array_equal(numpy_of(ours), numpy_of(theirs))
    with pytest.raises(WeightsError, match="does not fit keras_hub/mit_b0"):
        build_branches("keras_hub/mit_b0", classes=3, weights=str(tmp_path / "preset"), window=64, **SMALL)
    with pytest.raises(WeightsError, match=r"(?s)cannot load .*mit_b0_ade20k_512"):
        build_branches("keras_hub/mit_b0", classes=3, weights=str(tmp_path / "absent"), window=64, **SMALL)


def test_what_does_not_fit_is_refused_at_once():
    with pytest.raises(RecipeError) as caught:
        build_branches(
            "keras_hub/dinov2_small", classes=3, weights="none", output_stride=8, width=0.5, window=100,
            bands=("red", "green", "blue", "nir"),
        )  # fmt: skip
    text = str(caught.value)
    for part in ("must be 16 with", "network.width", "data.bands", "received 100"):
        assert part in text


def test_a_resnet_is_dilated_as_any_network_of_convolutions(tmp_path):
    import keras_hub

    small = keras_hub.models.ResNetBackbone([64], [7], [64, 64, 64, 64], [1] * 4, [1, 2, 2, 2], "basic_block")
    branch, _ = build_branches(small, classes=3, output_stride=8, seed=0, **SMALL)
    low = branch.stem(images())
    assert low.shape[1:3] == (16, 16) and branch.tail(low).shape[1:3] == (8, 8)
    with pytest.raises(WeightsError, match="resnet_50_imagenet"):
        build_branches("keras_hub/resnet_18", classes=3, weights=str(tmp_path / "absent"), **SMALL)


# Parameters of the published presets, in keras_hub's own tables; the head of MiT's presets is left out.
PUBLISHED = {
    "mit_b0": (512, 3_321_962 - 10 * 257),
    "mit_b1": (512, 13_156_554 - 10 * 513),
    "mit_b2": (512, 24_201_418 - 10 * 513),
    "dinov2_small": (592, 22_582_656),
    "dinov2_base": (592, 87_632_640),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_published(name):
    import keras_hub

    window, published = PUBLISHED[name]
    spec = HUB_BACKBONES[f"keras_hub/{name}"]
    assert getattr(keras_hub.models, spec.class_name)(**spec.config(window)).count_params() == published


def test_folding_is_the_inverse_of_packing():
    x = np.arange(2 * 4 * 4 * 32, dtype="float32").reshape(2, 4, 4, 32)
    unfolded = x.reshape(2, 4, 4, 4, 4, 2).transpose(0, 1, 3, 2, 4, 5).reshape(2, 16, 16, 2)
    packed = np.concatenate([np.zeros((2, 16, 16, 3), "float32"), unfolded], axis=-1)
    np.testing.assert_array_equal(numpy_of(Folded(3, 4)(packed)), x)
