"""The poly schedule of the official code is Keras' `PolynomialDecay`."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.tools import poly

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("power", [0.0, 0.5, 0.9, 1.0])
def test_the_rate_is_that_of_the_formula(power):
    schedule, steps = poly(0.01, 40, power), np.arange(41)
    found = [float(keras.ops.convert_to_numpy(schedule(step))) for step in steps]
    np.testing.assert_allclose(found, 0.01 * (1 - steps / 40) ** power, rtol=2e-6, atol=1e-9)


def test_it_ends_at_zero_and_stays_there():
    schedule = poly(0.01, 10)
    assert float(schedule(10)) == float(schedule(11)) == 0
