"""Consistency, its ramp, and the bootstrapped cross entropy, against values of the official code of CCT."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tests.methods.rival_golden import rival_golden
from tests.tools import gradients
from usrn_keras.losses import bootstrapped_pixels, consistency, cross_entropy, sigmoid_ramp

pytestmark = pytest.mark.every_backend

ITERATIONS = 80  # of the golden ramps


def value_of(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    """Differences of at most 1e-5 of the largest value."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


def test_consistency_of_the_official_code():
    golden = rival_golden("cct/consistency")
    auxiliary = [golden[f"aux_logits_{number}"] for number in range(3)]

    def loss(*auxiliary):
        target = ops.softmax(golden["main_logits"], axis=-1)
        return sum(consistency(logits, target) for logits in auxiliary) / 3

    assert float(value_of(loss(*auxiliary))) == pytest.approx(float(golden["loss"]), rel=1e-5)
    for number, found in enumerate(gradients(loss, auxiliary)):
        assert_close(found, golden[f"grad_{number}"])


def test_the_target_has_no_gradient():
    logits = np.float32([[[[1.0, 2.0]]]])

    def loss(logits, target):
        return consistency(logits, ops.softmax(target, axis=-1))

    student, teacher = gradients(loss, [logits, -logits])
    assert student.any() and not teacher.any()


def test_ramp_of_the_official_code():
    golden = rival_golden("cct/ramp")
    weight, length = golden["final_length"]
    assert length == ITERATIONS
    found = [weight * float(value_of(sigmoid_ramp(step / 800, 0.1))) for step in golden["iterations"]]
    np.testing.assert_allclose(found, golden["weights"], rtol=1e-5)


def test_no_ramp():
    assert float(value_of(sigmoid_ramp(np.float32([0.0]), 0.0))) == 1


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
