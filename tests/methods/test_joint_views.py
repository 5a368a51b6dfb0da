"""Labelled images and strong views in one batch: the step of two passes, but for the order of statistics."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from tests.methods.check_method import check_method
from tests.methods.handmade import PARENTS, handmade_batch, handmade_branches
from tests.tools import fill
from usrn_keras.backends import CompiledStep, joint_views, run_graph
from usrn_keras.errors import RecipeError
from usrn_keras.methods import USRN, Network, PrototypeEnsemble, SelfTraining
from usrn_keras.methods.loss_part import labelled_images, unlabelled_images
from usrn_keras.networks.two_branch import View
from usrn_keras.optimizers import SGD
from usrn_keras.recipe import load_recipe

pytestmark = pytest.mark.every_backend


def method_of(kind: type, joint: bool):
    branches = handmade_branches()
    parts = branches[:1] if kind is SelfTraining else (*branches, PARENTS)
    method = kind(*parts, threshold=0.4, joint_views=joint)
    fill(method.variables)
    optimizer = SGD(0.02)
    optimizer.build(method.trainable_variables)
    method.compile(optimizer=optimizer)
    return method


def batch_of(seed: int, unlabelled: int = 4) -> dict[str, np.ndarray]:
    """A batch with fewer unlabelled images than labelled ones, if asked for."""
    batch = handmade_batch(seed)
    strong = {"weak": batch["weak"], "strong_parameters": batch["strong_parameters"]}
    return batch | keras.tree.map_structure(lambda values: values[:unlabelled], strong)


def values(variables) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


@pytest.mark.parametrize("unlabelled", [4, 3])
@pytest.mark.parametrize("kind", [USRN, SelfTraining, PrototypeEnsemble])
def test_three_steps_are_those_of_two_passes(kind, unlabelled):
    ends = []
    for joint in (False, True):
        method = method_of(kind, joint)
        step = CompiledStep(method)
        terms = [step(batch_of(seed, unlabelled)) for seed in range(3)]
        terms = [{name: float(value) for name, value in one.items()} for one in terms]
        ends.append((terms, values(method.trainable_variables)))
    (separate, weights), (joint, joint_weights) = ends
    assert [part.name for part in method.loss_parts()] == ["views"]
    for one, other in zip(separate, joint, strict=True):
        assert other == pytest.approx(one, rel=2e-4, abs=1e-5)
    for one, other in zip(weights, joint_weights, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("unlabelled", [4, 3])
def test_statistics_move_by_weak_labelled_and_strong_view(unlabelled):
    batch = batch_of(0, unlabelled)
    method = method_of(USRN, True)
    CompiledStep(method)(batch)
    other = method_of(USRN, False)
    given = {name: keras.ops.convert_to_tensor(value) for name, value in batch.items()}
    weak, strong = unlabelled_images(given)
    for images in (weak, labelled_images(given), strong):
        other.networks[0].logits(images, ("F", "F_sub"))
    for found, asked in zip(
        values(method.non_trainable_variables), values(other.non_trainable_variables), strict=True
    ):
        np.testing.assert_allclose(found, asked, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(2, 2), (1, 3)])
def test_a_model_that_is_no_plain_graph_keeps_views_apart(sizes):
    class Normalised(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm = layers.BatchNormalization()

        def call(self, x, training=None):
            return self.norm(x, training=training)

    x = np.random.default_rng(0).normal(size=(4, 4, 4, 2)).astype("float32") ** 2
    model, other = Normalised(), Normalised()
    with joint_views(sizes):
        found = keras.ops.convert_to_numpy(run_graph(model, x, True))
    asked = [other(part, training=True) for part in np.split(x, [sizes[0]])]
    asked = np.concatenate([keras.ops.convert_to_numpy(part) for part in asked])
    np.testing.assert_allclose(found, asked, rtol=1e-4, atol=1e-4)
    for one, two in zip(values(model.variables), values(other.variables), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_views_of_different_sizes_are_an_error():
    network = Network(*handmade_branches())
    views = [View(keras.ops.zeros((1, size, size, 3))) for size in (32, 64)]
    with pytest.raises(ValueError, match="must have one size, received 32 x 32 and 64 x 64"):
        network.joint_logits(views)


def test_both_branches_must_learn_from_both_views():
    with pytest.raises(ValueError, match="needs the terms ost and sst, received"):
        USRN(*handmade_branches(), PARENTS, terms=("msl", "ost", "usr"), joint_views=True)
    overrides = ["usrn.joint_views=true", 'usrn.terms=["msl", "ost", "usr"]']
    with pytest.raises(RecipeError, match=r"usrn\.joint_views: needs the terms ost and sst"):
        load_recipe("quickstart", overrides)
    assert load_recipe("quickstart", overrides[:1])


def test_contract(tmp_path):
    check_method(
        lambda: USRN(*handmade_branches(), PARENTS, threshold=0.4, joint_views=True), handmade_batch, tmp_path
    )
