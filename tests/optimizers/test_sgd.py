"""Our SGD is PyTorch's SGD."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

from tests.tools import poly
from usrn_keras.optimizers import SGD

pytestmark = pytest.mark.every_backend


def problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 4)), rng.normal(size=(6,)), rng.normal(size=(4,))


def test_twenty_steps_of_torch():
    """Momentum, coupled weight decay, a poly schedule and a slow parameter group."""
    a, b, start = problem()
    ours = [keras.Variable(start[:2].astype("float32")), keras.Variable(start[2:].astype("float32"))]
    optimizer = SGD(poly(0.05, 20, 0.9), momentum=0.9, coupled_weight_decay=0.1)
    optimizer.multiply_learning_rate(ours[:1], 0.1)
    theirs = [torch.tensor(start[:2], requires_grad=True), torch.tensor(start[2:], requires_grad=True)]
    groups = [{"params": theirs[:1], "lr": 0.005}, {"params": theirs[1:], "lr": 0.05}]
    reference = torch.optim.SGD(groups, momentum=0.9, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.PolynomialLR(reference, total_iters=20, power=0.9)
    for _ in range(20):
        weights = np.concatenate([keras.ops.convert_to_numpy(variable.value) for variable in ours])
        gradient = 2 * a.T @ (a @ weights - b)
        optimizer.apply([gradient[:2].astype("float32"), gradient[2:].astype("float32")], ours)
        reference.zero_grad()
        ((torch.tensor(a) @ torch.cat(theirs) - torch.tensor(b)) ** 2).sum().backward()
        reference.step()
        schedule.step()
    for variable, tensor in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(variable.value), tensor.detach(), rtol=2e-4)


def test_accumulated_gradients_are_averaged():
    once, twice = (keras.Variable([1.0, -2.0]) for _ in range(2))
    SGD(0.1).apply([np.array([2.0, 3.0], "float32")], [once])
    optimizer = SGD(0.1, gradient_accumulation_steps=2)
    for gradient in ([1.0, 1.0], [3.0, 5.0]):
        optimizer.apply([np.array(gradient, "float32")], [twice])
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(once.value), keras.ops.convert_to_numpy(twice.value), rtol=1e-6
    )


def test_gradients_of_parts_add_up():
    """Three steps: each part taken in as it comes, and the sum of both applied at once."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(2, 3)).astype("float32")
    parted, whole = ([keras.Variable(row) for row in start] for _ in range(2))
    ours, theirs = (SGD(poly(0.1, 5), coupled_weight_decay=0.1) for _ in range(2))
    for optimizer, variables in ((ours, parted), (theirs, whole)):
        optimizer.multiply_learning_rate(variables[:1], 0.1)
        optimizer.build(variables)
    for _ in range(3):
        gradients = rng.normal(size=(2, *start.shape)).astype("float32")
        for part, first in zip(gradients, (True, False), strict=True):
            for gradient, variable in zip(part, parted, strict=True):
                ours.add_gradient(keras.ops.convert_to_tensor(gradient), variable, first=first)
        ours.take_step()
        theirs.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients.sum(0)], whole)
    for one, other in zip(parted, whole, strict=True):
        found, expected = (keras.ops.convert_to_numpy(variable.value) for variable in (one, other))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert int(ours.iterations) == int(theirs.iterations) == 3


def test_round_trip():
    optimizer = SGD(poly(0.02, 50, 0.5), momentum=0.8, coupled_weight_decay=0.01)
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == optimizer.get_config()
