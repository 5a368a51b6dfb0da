"""Consistency and its ramp against values of the official code of CCT."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tests.methods.rival_golden import rival_golden
from tests.tools import gradients
from usrn_keras.losses import consistency, sigmoid_ramp

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
