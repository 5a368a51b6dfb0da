"""Whole networks in two branches: shared, saved, run by each backend's kernels, counted before they run."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.tools import fill, tiny_batch
from usrn_keras.backends import run_graph
from usrn_keras.methods import USRN
from usrn_keras.networks import build_branches, load_segmenter
from usrn_keras.networks.operations import forward_flops, step_flops
from usrn_keras.optional import without_tensorflow

DEEPLAB = {
    "architecture": "keras_cv/deeplab_v3_plus",
    "backbone": "keras/mobilenet",
    "width": 0.25,
    "aspp_rates": [1],
    "aspp_channels": 8,
    "low_level_channels": 4,
    "dropout": 0.0,
}


@pytest.fixture(scope="module", params=[DEEPLAB], ids=["deeplab_v3_plus"])
def branches(request):
    """F and F_sub that share the stem; nobody trains them."""
    options = {"classes": 3, "subclasses": 5, "weights": "none", "decoder_channels": 8}
    branches = build_branches(**options, **request.param, classifier_dropout=0.0)
    for branch in branches:
        fill(branch.variables)
    return branches


def images_of(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, height, width, 3)).astype("float32")


def values_of(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


def test_branches_share_the_stem_alone(branches):
    branch, sub_branch = branches
    assert branch.stem is sub_branch.stem and branch.tail is not sub_branch.tail
    ours = {id(variable) for part in (branch.tail, branch.decoder) for variable in part.variables}
    theirs = {id(variable) for part in (sub_branch.tail, sub_branch.decoder) for variable in part.variables}
    assert ours.isdisjoint(theirs)


@pytest.mark.parametrize("size", [(32, 96), (64, 64)])
def test_logits_have_the_size_of_the_image(branches, size):
    images = images_of(*size)
    features = branches[0].feature_model()(images, training=False)
    assert features.shape == (2, size[0] // 4, size[1] // 4, 8)
    logits = branches[0].segmenter()(images, training=False)
    assert logits.shape == (2, *size, 3)
    assert values_of(logits).min() < 0  # no probabilities


def test_parts_run_as_the_whole(branches):
    branch, images = branches[0], images_of(32, 64)
    low = run_graph(branch.stem, images, training=False)
    features = branch.features(low, run_graph(branch.tail, low, training=False), training=False)
    expected = values_of(branch.feature_model()(images, training=False))
    np.testing.assert_allclose(values_of(features), expected, atol=1e-4)


def test_a_saved_segmenter_is_the_same_at_any_size(branches, tmp_path):
    segmenter = branches[0].segmenter()
    with without_tensorflow():
        segmenter.save(tmp_path / "model.keras")
    again = load_segmenter(tmp_path / "model.keras")
    for size in ((32, 64), (96, 32)):
        images = images_of(*size)
        expected = values_of(segmenter(images, training=False))
        np.testing.assert_array_equal(values_of(again(images, training=False)), expected)


def test_the_file_names_no_supplier(branches, tmp_path):
    """What is saved is made of layers of Keras and ours: loading it needs neither keras-cv nor TensorFlow."""
    segmenter = branches[0].segmenter()
    modules = {type(layer).__module__.split(".")[0] for layer in segmenter._flatten_layers()}
    assert modules == {"keras", "usrn_keras"}


def test_a_step_of_usrn(branches):
    """All views through both branches, the weak one without gradient."""
    model = USRN(*branches, parents=[0, 0, 1, 1, 2], threshold=0.0)
    loss = keras.ops.stop_gradient(model.loss_terms(tiny_batch(size=64))["loss"])
    assert np.isfinite(values_of(loss)) and values_of(loss) > 0


def test_operations_are_counted(branches):
    branch, sub_branch = branches
    model = USRN(branch, sub_branch, parents=[0, 0, 1, 1, 2])
    flops = step_flops(model, 1, 1, 64, 64)
    once = forward_flops(branch.segmenter(), 64, 64) + forward_flops(sub_branch.segmenter(), 64, 64)
    assert flops["labelled"] == 3 * (once - forward_flops(branch.stem, 64, 64))
