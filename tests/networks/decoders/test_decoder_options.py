"""What holds for every decoder, on the same backbone and two-branch cut."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.tools import fill, gradients, tiny_branches
from usrn_keras.networks import load_segmenter
from usrn_keras.networks.decoders.decoder_options import DECODERS
from usrn_keras.optional import without_tensorflow

OPTIONS = {"psa_mask": 7, "psa_channels": 6, "psa_shrink": 1, "psp_bins": [1, 2], "dropout": 0.0}


def branches_of(decoder: str, **options):
    return tiny_branches(decoder=decoder, **(OPTIONS | options))


def images_of(height: int, width: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, height, width, 3)).astype("float32")


def values_of(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("sharing", ["none", "low", "low_high"])
def test_branches_share_the_backbone_and_never_the_decoder(decoder, sharing):
    branch, sub_branch = branches_of(decoder, sharing=sharing)
    shared = (branch.stem is sub_branch.stem, branch.tail is sub_branch.tail)
    assert shared == {"none": (False, False), "low": (True, False), "low_high": (True, True)}[sharing]
    ours = {id(variable) for variable in branch.decoder.variables}
    assert ours.isdisjoint(id(variable) for variable in sub_branch.decoder.variables)
    assert (branch.classifier.output_shape[-1], sub_branch.classifier.output_shape[-1]) == (3, 5)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(("output_stride", "size"), [(8, (32, 96)), (32, (64, 64))])
def test_logits_have_the_size_of_the_image(decoder, output_stride, size):
    branch, _ = branches_of(decoder, output_stride=output_stride, backbone_end="")
    assert branch.feature_model()(images_of(*size)).shape == (2, size[0] // 4, size[1] // 4, 8)
    assert branch.segmenter()(images_of(*size)).shape == (2, *size, 3)


@pytest.mark.parametrize("decoder", DECODERS)
def test_gradients_reach_every_weight(decoder):
    branch, _ = branches_of(decoder, classifier_dropout=0.0)
    fill(branch.variables)
    low = branch.stem(keras.ops.convert_to_tensor(images_of(64, 64)))
    low, high = values_of(low), values_of(branch.tail(low))
    weights = list(branch.decoder.trainable_variables)
    start = [values_of(variable.value) for variable in weights]

    def loss(*values):
        with keras.StatelessScope(state_mapping=list(zip(weights, values, strict=True))):
            features = branch.decoder([low, high], training=True)
            return keras.ops.mean(keras.ops.square(features) * features)

    for variable, gradient in zip(weights, gradients(loss, start), strict=True):
        assert np.abs(gradient).max() > 0, variable.path


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_saved_segmenter_is_the_same_at_any_size(decoder, tmp_path):
    branch, _ = branches_of(decoder)
    fill(branch.variables)
    segmenter = branch.segmenter()
    with without_tensorflow():
        segmenter.save(tmp_path / "model.keras")
    again = load_segmenter(tmp_path / "model.keras")
    for size in ((32, 64), (96, 32)):
        images = images_of(*size)
        np.testing.assert_array_equal(values_of(again(images)), values_of(segmenter(images)))


@pytest.mark.parametrize("decoder", DECODERS)
def test_logits_are_float32_under_mixed_precision(decoder):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        branch, _ = branches_of(decoder)
        images = images_of(32, 32)
        assert keras.backend.standardize_dtype(branch.feature_model()(images).dtype) == "bfloat16"
        logits = branch(images, training=True)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
        assert np.isfinite(values_of(logits)).all()
    finally:
        keras.config.set_dtype_policy(before)
