"""A branch with batch norms of its own: what it shares, and values of the official doubled batch norm."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.methods.handmade import handmade_branches
from tests.methods.rival_golden import rival_golden
from tests.tools import fill
from usrn_keras.networks import Branch
from usrn_keras.networks.copies import with_own_batch_norm

pytestmark = pytest.mark.every_backend


def arrays(variables: list) -> list[np.ndarray]:
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def test_all_layers_but_the_batch_norms_are_shared():
    branch, _ = handmade_branches()
    copy = with_own_batch_norm(branch)
    own, theirs = ({id(v): v for v in one.variables} for one in (copy, branch))
    assert len(own) == len(theirs)
    shared = own.keys() & theirs.keys()
    names = {"gamma", "beta", "moving_mean", "moving_variance"}
    assert {v.name for key, v in own.items() if key not in shared} == names
    assert shared and names.isdisjoint({own[key].name for key in shared})


def test_it_starts_equal_and_its_statistics_move_alone():
    branch, _ = handmade_branches()
    fill(branch.variables)
    copy = with_own_batch_norm(branch)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    before, logits = arrays(branch.variables), arrays([branch(images, training=False)])
    np.testing.assert_array_equal(arrays([copy(images, training=False)]), logits)
    copy(images, training=True)
    for ours, theirs in zip(arrays(branch.variables), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert np.abs(arrays([copy(images, training=False)])[0] - logits[0]).max() > 1e-3


def test_outputs_and_statistics_of_the_official_layer():
    """In training the first two images are the main stream, at inference all are.

    The moving variance of PyTorch is the unbiased one: n / (n - 1) times that of Keras.
    """
    golden = rival_golden("dsbn/layer")
    branch = Branch(_norm_model(), *(_identity(count) for count in (1, 2, 1)))
    copy = with_own_batch_norm(branch)
    streams = {"main": (branch, golden["x"][:2]), "aux": (copy, golden["x"][2:])}
    for name, (one, _) in streams.items():
        norm = one.stem.layers[-1]
        norm.set_weights([*golden[f"{name}_gamma_beta"], np.zeros(3), np.ones(3)])
    training = [arrays([one.stem(x, training=True)])[0] for one, x in streams.values()]
    np.testing.assert_allclose(np.concatenate(training), golden["out_training"], atol=1e-5)
    for name, (one, x) in streams.items():
        _, _, mean, variance = one.stem.layers[-1].get_weights()
        pixels = x[..., 0].size
        unbiased = 0.9 + (variance - 0.9) * pixels / (pixels - 1)
        expected = golden[f"{name}_moving_mean_variance"]
        np.testing.assert_allclose([mean, unbiased], expected, atol=1e-5)
        one.stem.layers[-1].set_weights([*golden[f"{name}_gamma_beta"], *expected])
    (inference,) = arrays([branch.stem(golden["x"], training=False)])
    np.testing.assert_allclose(inference, golden["out_inference"], atol=1e-5)


def _norm_model() -> keras.Model:
    x = keras.Input((None, None, 3))
    return keras.Model(x, layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))


def _identity(inputs: int) -> keras.Model:
    maps = [keras.Input((None, None, 3)) for _ in range(inputs)]
    return keras.Model(maps if inputs > 1 else maps[0], layers.ReLU()(maps[-1]))
