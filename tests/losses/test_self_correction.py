"""The self-correction loss against values of the official code of DSBN, and against numpy at any stride."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tests.methods.rival_golden import rival_golden
from tests.tools import gradients
from usrn_keras.losses import cross_entropy
from usrn_keras.losses.bilinear import upsample
from usrn_keras.losses.self_correction import REVERSE, self_correction

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize(
    ("case", "images", "weights"),
    [("one_noisy", [0, 1], "own"), ("one_noisy", [0, 1], "official"), ("two_noisy", [0, 1, 2], "official")],
)
def test_loss_and_gradients_of_the_official_code(case, images, weights):
    """With two pseudo-labelled images the official code has the mean weight of the batch at each place."""
    golden = rival_golden("dsbn")
    labels, pseudo = golden["labels"].astype("int32")[images], golden["is_pseudo"][images] == 1

    def loss(logits):
        clean, noisy = np.flatnonzero(~pseudo), np.flatnonzero(pseudo)
        every = np.ones(labels.shape, bool)
        supervised = cross_entropy(ops.take(logits, clean, axis=0), labels[clean], every[clean])
        own = ops.take(logits, noisy, axis=0)
        return supervised + self_correction(own, labels[noisy], every[noisy], weights)

    logits = golden["logits"][images]
    found = float(ops.convert_to_numpy(loss(ops.convert_to_tensor(logits))))
    assert found == pytest.approx(float(golden[f"{case}/loss"]), rel=1e-5)
    (gradient,) = gradients(loss, [logits])
    scale = np.abs(golden[f"{case}/grad"]).max()
    np.testing.assert_allclose(gradient / scale, golden[f"{case}/grad"] / scale, atol=1e-5)


def test_own_weights_differ_from_the_official_ones():
    golden = rival_golden("dsbn")
    logits, labels = golden["logits"][[0, 2]], golden["labels"].astype("int32")[[0, 2]]
    every = np.ones(labels.shape, bool)
    values = [
        float(ops.convert_to_numpy(self_correction(logits, labels, every, w))) for w in ("own", "official")
    ]
    assert values == pytest.approx(
        [5.265655, 5.298457], abs=1e-5
    )  # 7.5693 and 7.6021 with the labelled image


@pytest.mark.parametrize("factor", [1, 4])
def test_value_and_gradient_at_a_stride_and_under_a_mask(factor):
    """The gradient is that of the formula with weights that are constants."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(2, 4, 5, 3)).astype("float32")
    labels = rng.integers(0, 3, (2, 4 * factor, 5 * factor)).astype("int32")
    mask = rng.random(labels.shape) < 0.7

    def full(logits):
        return upsample(upsample(logits, factor, axis=1), factor, axis=2)

    shown = ops.convert_to_numpy(full(ops.convert_to_tensor(logits)))
    p = np.exp(shown) / np.exp(shown).sum(-1, keepdims=True)
    w = np.where(p.max(-1) > 0.8, 1, p.max(-1)).astype("float32")
    assert 0.1 < (w == 1).mean() < 0.9

    def formula(logits):
        chosen = ops.sum(ops.softmax(full(logits)) * ops.one_hot(labels, 3), axis=-1)
        weights = ops.convert_to_tensor(w)
        losses = (1 - weights) * -ops.log(chosen) + REVERSE * weights * (1 - chosen)
        return ops.sum(losses * ops.convert_to_tensor(mask.astype("float32"))) / float(mask.sum())

    def ours(logits):
        return self_correction(logits, np.where(mask, labels, 255), mask)

    values = [float(ops.convert_to_numpy(loss(ops.convert_to_tensor(logits)))) for loss in (ours, formula)]
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    np.testing.assert_allclose(*(gradients(loss, [logits])[0] for loss in (ours, formula)), atol=1e-6)


def test_nothing_labelled_costs_nothing():
    logits, labels = np.zeros((1, 2, 2, 3), "float32"), np.full((1, 2, 2), 255, "int32")
    assert float(ops.convert_to_numpy(self_correction(logits, labels, labels != 255))) == 0


def test_unknown_weights():
    with pytest.raises(ValueError, match="`weights` must be one of own, official, received 'mean'"):
        self_correction(np.zeros((1, 1, 1, 2)), np.zeros((1, 1, 1)), np.ones((1, 1, 1), bool), "mean")
