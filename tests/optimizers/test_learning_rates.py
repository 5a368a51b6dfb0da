"""Rates of single variables, the same for every optimizer of ours."""

from __future__ import annotations

import keras
import pytest

from usrn_keras.optimizers import SGD, AdamW

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("optimizer_class", [SGD, AdamW])
def test_multiplier_after_build_is_refused(optimizer_class):
    optimizer = optimizer_class(0.1)
    optimizer.build([keras.Variable([1.0])])
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.multiply_learning_rate([], 0.1)


@pytest.mark.parametrize("optimizer_class", [SGD, AdamW])
def test_slow_variables_stay_slow_after_saving(optimizer_class):
    optimizer = optimizer_class(0.1)
    slow, fast = keras.Variable([1.0]), keras.Variable([1.0])
    optimizer.multiply_learning_rate([slow], 0.25)
    optimizer.build([slow, fast])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    variables = [keras.Variable([1.0]), keras.Variable([1.0])]
    again.build(variables)
    assert [again.rate_factor(variable) for variable in variables] == [0.25, 1.0]
    with pytest.raises(ValueError, match="one value for each of the 1 variables, received 2"):
        optimizer_class(0.1, rate_factors=[0.25, 1.0]).build([slow])
