"""Rates of single variables, the same for every optimizer of ours."""

from __future__ import annotations

import keras
import pytest

from usrn_keras.training import SGD, AdamW

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("optimizer_class", [SGD, AdamW])
def test_multiplier_after_build_is_refused(optimizer_class):
    optimizer = optimizer_class(0.1)
    optimizer.build([keras.Variable([1.0])])
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.multiply_learning_rate([], 0.1)
