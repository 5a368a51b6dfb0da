"""Our AdamW is PyTorch's AdamW, with kernels that decay alone and rates of single variables."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

from tests.tools import poly
from usrn_keras.optimizers import AdamW

pytestmark = pytest.mark.every_backend


@pytest.mark.parametrize("amsgrad", [False, True])
def test_twenty_steps_of_torch(amsgrad):
    """A poly schedule, a slow parameter group that decays slowly, too, and a bias that does not decay."""
    rng = np.random.default_rng(0)
    shapes = [(2, 3), (3, 1), (3,)]
    start = [rng.normal(size=shape).astype("float32") for shape in shapes]
    ours = [keras.Variable(value) for value in start]
    betas = {"beta_1": 0.8, "beta_2": 0.99}
    optimizer = AdamW(poly(0.05, 20, 0.9), **betas, decoupled_weight_decay=0.3, amsgrad=amsgrad)
    optimizer.multiply_learning_rate(ours[:1], 0.1)
    theirs = [torch.tensor(value, requires_grad=True) for value in start]
    rates = [{"lr": 0.005}, {"lr": 0.05}, {"lr": 0.05, "weight_decay": 0.0}]
    groups = [{"params": [tensor], **rate} for tensor, rate in zip(theirs, rates, strict=True)]
    reference = torch.optim.AdamW(groups, betas=(0.8, 0.99), eps=1e-7, weight_decay=0.3, amsgrad=amsgrad)
    schedule = torch.optim.lr_scheduler.PolynomialLR(reference, total_iters=20, power=0.9)
    for _ in range(20):
        gradients = [rng.normal(size=shape).astype("float32") for shape in shapes]
        optimizer.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], ours)
        for tensor, gradient in zip(theirs, gradients, strict=True):
            tensor.grad = torch.tensor(gradient)
        reference.step()
        schedule.step()
    for variable, tensor in zip(ours, theirs, strict=True):
        found = keras.ops.convert_to_numpy(variable.value)
        np.testing.assert_allclose(found, tensor.detach(), rtol=2e-4, atol=2e-6)


def test_accumulated_gradients_are_averaged():
    """Two steps of accumulated gradients, and two steps of their means."""
    ours, theirs = (keras.Variable([[1.0, -2.0]]) for _ in range(2))
    accumulating, plain = AdamW(0.1, gradient_accumulation_steps=2), AdamW(0.1)
    rng = np.random.default_rng(0)
    for gradients in rng.normal(size=(2, 2, 1, 2)).astype("float32"):
        for gradient in gradients:
            accumulating.apply([keras.ops.convert_to_tensor(gradient)], [ours])
        plain.apply([keras.ops.convert_to_tensor(gradients.mean(0))], [theirs])
    found, expected = (keras.ops.convert_to_numpy(variable.value) for variable in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_round_trip():
    optimizer = AdamW(poly(0.02, 50, 0.5), beta_1=0.8, decoupled_weight_decay=0.01)
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, AdamW)
    assert again.get_config() == optimizer.get_config()
