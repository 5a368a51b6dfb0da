"""The pixels of ABCE and OHEM against values of the official code of CCT and CPS."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tests.methods.rival_golden import rival_golden
from tests.tools import gradients
from usrn_keras.losses import bootstrapped_pixels, cross_entropy, ohem_pixels

pytestmark = pytest.mark.every_backend

ITERATIONS = 80  # of the golden ramp


def value_of(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Differences of at most 1e-5 of the largest value."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


@pytest.mark.parametrize("version", ["cct", "cps_port"])
@pytest.mark.parametrize("iteration", [0, 35, 150])
def test_bootstrapped_cross_entropy_of_the_official_code(version, iteration):
    """The golden ramp has 80 iterations, which are 0.4 of the training."""
    golden = rival_golden(f"abce/{version}")
    labels = golden["labels"].astype("int32")
    assert golden["ramp_iterations_end"][0] == ITERATIONS

    def loss(logits):
        progress = iteration / ITERATIONS * 0.4
        end = float(golden["ramp_iterations_end"][1])
        kept = bootstrapped_pixels(logits, labels, labels != 255, progress, end=end)
        return cross_entropy(logits, labels, kept)

    found = float(value_of(loss(golden["logits"])))
    assert found == pytest.approx(float(golden[f"iteration_{iteration}/loss"]), rel=1e-5)
    assert_close(gradients(loss, [golden["logits"]])[0], golden[f"iteration_{iteration}/grad"])


def test_bootstrapped_pixels_of_upsampled_logits_keep_as_many_as_images():
    """All labels are predicted confidently, so the least confident pixels count: one fewer than the rank."""
    rng = np.random.default_rng(0)
    logits = 20 * rng.permutation(np.eye(3, dtype="float32"))[rng.integers(0, 3, (2, 4, 4))]
    logits += rng.random(logits.shape, dtype="float32")
    full = value_of(ops.image.resize(logits, (16, 16), interpolation="bilinear"))
    labels = full.argmax(-1).astype("int32")
    labels[0, :8] = 255
    exponentials = np.exp(np.float64(full))
    probabilities = (exponentials / exponentials.sum(-1, keepdims=True)).max(-1)
    valid = labels != 255
    least = np.sort(probabilities[valid])[2]
    kept = value_of(bootstrapped_pixels(logits, labels, valid, 0.0))
    np.testing.assert_array_equal(kept, valid & (probabilities < max(least, 1 / 3)))
    assert kept.sum() == 2


def test_bootstrapped_pixels_without_labels():
    logits, labels = np.zeros((1, 2, 2, 3), "float32"), np.full((1, 2, 2), 255, "int32")
    assert not value_of(bootstrapped_pixels(logits, labels, labels != 255, 0.5)).any()


@pytest.mark.parametrize("case", ["threshold", "kept", "few_valid"])
def test_ohem_of_the_official_code(case):
    """Pixels below the threshold, the least confident ones, and all of too few."""
    golden = rival_golden(f"ohem/{case}")
    labels = golden["labels"].astype("int32")
    threshold, kept = float(golden["thresh_kept"][0]), int(golden["thresh_kept"][1])

    def loss(logits):
        hard = ohem_pixels(
            logits, labels, ops.convert_to_tensor(labels != 255), threshold=threshold, kept=kept
        )
        return cross_entropy(logits, labels, hard)

    assert float(value_of(loss(golden["logits"]))) == pytest.approx(float(golden["loss"]), rel=1e-5)
    assert_close(gradients(loss, [golden["logits"]])[0], golden["grad"])


def test_ohem_keeps_five_64ths_of_confident_pixels():
    """1,024 pixels at full size, whose labels are predicted confidently: 80 count."""
    rng = np.random.default_rng(0)
    logits = np.zeros((1, 8, 8, 2), "float32")
    logits[..., 1] = 5 + rng.random((1, 8, 8))
    labels = np.ones((1, 32, 32), "int32")
    hard = value_of(ohem_pixels(logits, labels, ops.convert_to_tensor(labels == 1)))
    assert 80 <= hard.sum() < 90  # equal probabilities at the corners count alike
    full = value_of(ops.image.resize(logits[..., 1:], (32, 32), interpolation="bilinear"))[..., 0]
    assert full[hard].max() <= full[~hard].min() + 1e-6
