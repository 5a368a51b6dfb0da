"""CPS against values of the official code, and what its variants promise."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import pytest
from keras import ops

from tests.methods.build_method import build_method, compiled_step
from tests.methods.check_method import check_method
from tests.methods.handmade import (
    handmade_batch,
    handmade_branches,
    handmade_cutmix_batch,
    second_branch,
)
from tests.methods.logit_networks import LogitNetwork, boxes_of
from tests.methods.rival_golden import rival_golden
from tests.tools import builds_networks_of_a_recipe, fill, gradients
from usrn_keras.data import load_dataset
from usrn_keras.data.views.cutmix_boxes import SeveralBoxes
from usrn_keras.losses import cross_entropy, ohem_pixels
from usrn_keras.methods import CPS, Network, labelled_images, stages_of
from usrn_keras.optimizers import SGD
from usrn_keras.recipe import load_recipe
from usrn_keras.stages import build

pytestmark = [
    pytest.mark.every_backend,
    # `keras.metrics.MeanIoU` asks JAX for int64, which it has only with `jax_enable_x64` (Keras 3.15).
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]

CHANNELS = 5  # of the golden logits


def make(**options) -> CPS:
    return CPS([Network(handmade_branches()[0]), Network(second_branch())], **options)


def golden_method(shown: Sequence[Sequence[int]], **options) -> CPS:
    """A method of two networks whose passes show the blocks of channels that are given."""
    method = make(**options)
    method.networks = [LogitNetwork(CHANNELS, blocks) for blocks in shown]
    return method


def values_of(terms: dict) -> dict[str, float]:
    return {name: float(ops.convert_to_numpy(value)) for name, value in terms.items()}


def assert_gradients(loss, golden: dict, names: Sequence[str], logits: Sequence[np.ndarray]) -> None:
    for name, found in zip(names, gradients(loss, list(logits)), strict=True):
        scale = np.abs(golden[f"grad_{name}"]).max()
        np.testing.assert_allclose(found / scale, golden[f"grad_{name}"] / scale, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("recompute", [False, True])
def test_values_and_gradients_of_the_official_code(recompute):
    golden = rival_golden("cps")
    names = ("l1", "l2", "u1", "u2")
    passes = 4 if recompute else 2

    def terms(l1, l2, u1, u2) -> dict:
        method = golden_method([[0] * passes, [1] * passes], weight=1.5, recompute=recompute)
        return method.loss_terms(
            {
                "labelled": ops.concatenate([l1, l2], axis=-1),
                "weak": ops.concatenate([u1, u2], axis=-1),
                "labels": golden["labels"].astype("int32"),
            }
        )

    logits = [golden[f"logits_{name}"] for name in names]
    found = values_of(terms(*logits))
    cross = found["cross_labelled"] + found["cross_labelled_2"] + found["cross"] + found["cross_2"]
    ours = [found["supervised"], found["supervised_2"], 1.5 * cross / 2, found["loss"]]
    keys = ("loss_sup_1", "loss_sup_2", "loss_cps_weighted", "loss")
    np.testing.assert_allclose(ours, [golden[key] for key in keys], rtol=1e-5)
    assert_gradients(lambda *logits: terms(*logits)["loss"], golden, names, logits)


def test_values_and_gradients_of_the_official_code_with_cutmix():
    """Passes: the labels of u0 and u1, then the labelled images, then the mixed ones."""
    golden = rival_golden("cps_cutmix")
    teachers = {view: [golden[f"teacher_logits_{view}_{n}"] for n in (1, 2)] for view in ("u0", "u1")}
    names = ("l_1", "l_2", "m_1", "m_2")

    def terms(l_1, l_2, m_1, m_2) -> dict:
        method = golden_method([[0, 0, 0, 2], [1, 1, 1, 3]], weight=float(golden["weight"]), cutmix=True)
        return method.loss_terms(
            {
                "labelled": ops.concatenate([l_1, l_2], axis=-1),
                "weak": ops.concatenate([*teachers["u0"], m_1, m_2], axis=-1),
                "donor": ops.concatenate([*teachers["u1"], m_1, m_2], axis=-1),
                "labels": golden["labels"].astype("int32"),
                "boxes": boxes_of(golden["mask"]),
            }
        )

    logits = [golden[f"student_logits_{name}"] for name in names]
    found = values_of(terms(*logits))
    ours = [found["cross"] + found["cross_2"], found["loss"]]
    np.testing.assert_allclose(ours, [golden["loss_cps"], golden["loss"]], rtol=1e-5)
    assert_gradients(lambda *logits: terms(*logits)["loss"], golden, names, logits)
    batch = {"weak": golden["images_u0"], "donor": golden["images_u1"], "boxes": boxes_of(golden["mask"])}
    mixed = make(cutmix=True)._images("mixed", batch)
    np.testing.assert_array_equal(ops.convert_to_numpy(mixed), golden["images_mixed"])


def test_batches_of_different_sizes_are_one_mean_over_all_pixels():
    method, batch = make(weight=2.0), handmade_batch(0)
    fill(method.variables)
    batch["weak"] = batch["weak"][:1]
    found = values_of(method.loss_terms(batch))
    cross = [4 * found[f"cross_labelled{end}"] + found[f"cross{end}"] for end in ("", "_2")]
    expected = found["supervised"] + found["supervised_2"] + 2.0 * sum(cross) / 5
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_hard_pixels_of_each_network():
    """With OHEM, a mask counts where the network is not confident; the cross supervision is as without."""
    terms = {}
    for supervised in ("ce", "ohem"):
        method, batch = make(supervised=supervised), handmade_batch(0)
        fill(method.variables)
        terms[supervised] = values_of(method.loss_terms(batch))
    logits = method.networks[1].logits(labelled_images(batch))["F"]
    valid = ops.convert_to_tensor(batch["labels"] != 255)
    hard = ops.convert_to_numpy(ohem_pixels(logits, batch["labels"], valid))
    assert 0.2 < hard.mean() < 0.9
    expected = cross_entropy(logits, batch["labels"], ops.convert_to_tensor(hard))
    assert terms["ohem"]["supervised_2"] == pytest.approx(float(ops.stop_gradient(expected)), rel=1e-5)
    assert terms["ohem"]["supervised_2"] > terms["ce"]["supervised_2"]
    assert terms["ohem"]["cross"] == pytest.approx(terms["ce"]["cross"], rel=1e-6)


def test_recompute_gives_the_step_of_the_plain_one():
    """Without dropout: the same losses and weights, from half of the activations."""
    results = []
    for recompute in (False, True):
        method = make(recompute=recompute)
        fill(method.variables)
        step = compiled_step(method, SGD(0.05))
        losses = [float(step(handmade_batch(number))["loss"]) for number in range(2)]
        results.append([losses, *(ops.convert_to_numpy(v.value) for v in method.trainable_variables)])
    for plain, recomputed in zip(*results, strict=True):
        np.testing.assert_allclose(recomputed, plain, rtol=1e-4, atol=1e-5)


def test_contract_with_cutmix(tmp_path):
    check_method(
        lambda: make(cutmix=True), lambda number: handmade_cutmix_batch(number, SeveralBoxes()), tmp_path
    )


def test_the_diagnosis_shows_what_network_1_learns():
    method = make()
    fill(method.variables)
    images = ops.convert_to_tensor(np.float32(handmade_batch(0)["weak"]))
    found = {name: ops.convert_to_numpy(value) for name, value in method.pseudo_labels(images).items()}
    own, other = (
        ops.convert_to_numpy(network.logits(images, pooled=True, training=False)["F"]).argmax(-1)
        for network in method.networks
    )
    np.testing.assert_array_equal(found["own_labels"], own)
    np.testing.assert_array_equal(found["labels"], other)
    assert (own != other).any()


def test_two_networks_are_needed():
    with pytest.raises(ValueError, match="`networks` must be two networks, received 1"):
        CPS([Network(handmade_branches()[0])])


@builds_networks_of_a_recipe
@pytest.mark.parametrize("start", ["imagenet", "baseline"])
def test_networks_of_a_recipe_share_the_backbone_weights_alone(recipe_file, start):
    """Drawn, or copied from the Baseline, whose heads network 1 takes over."""
    recipe = load_recipe(str(recipe_file), ["training.method=cps", f"training.start={start}"])
    method = build.build_method(recipe, stages_of(recipe)[-1], load_dataset(recipe.data))
    baseline = build_method("supervised", make_like(method), None).branch
    if start == "baseline":
        method.start_from(build.Start(baseline, None))
    one, two = (network.F for network in method.networks)
    for part in ("stem", "tail"):
        for ours, theirs in zip(getattr(one, part).variables, getattr(two, part).variables, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))
    kernels = [ops.convert_to_numpy(branch.classifier.get_weights()[0]) for branch in (one, two, baseline)]
    assert not np.array_equal(kernels[0], kernels[1])
    assert np.array_equal(kernels[0], kernels[2]) == (start == "baseline")


def make_like(method: CPS):
    """A branch of the same architecture with other weights."""
    branch = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(method.networks[0].F))
    fill(branch.variables, seed=5)
    return branch
