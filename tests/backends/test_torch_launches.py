"""What a training step on PyTorch asks of a GPU, counted on the CPU; and that few kernels change no bit."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest

pytest.importorskip("torch")
if keras.backend.backend() != "torch":
    pytest.skip("counts the operators of PyTorch", allow_module_level=True)

import torch

from benchmarks.kernel_counts import counted_kernels
from tests.tools import fill, poly, tiny_batch, tiny_branches
from usrn_keras.backends import CompiledStep, torch_updates
from usrn_keras.backends import torch as torch_backend
from usrn_keras.backends.torch_constants import CachedConstants
from usrn_keras.methods import USRN
from usrn_keras.optimizers import SGD, AdamW
from usrn_keras.strong_view import StrongView

BATCH_ARRAYS = 5


def usrn(optimizer) -> USRN:
    random.seed(0)  # of dropout
    model = USRN(*tiny_branches(), [0, 1, 2, 0, 1], threshold=0.45)
    fill(model.variables)
    optimizer.multiply_learning_rate(model.slow_variables(), 0.1)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    return model


def batch(number: int) -> dict[str, np.ndarray]:
    views = StrongView().draw(np.random.default_rng(number), 2)
    return tiny_batch(number, size=64) | {"strong_parameters": views}


@pytest.mark.parametrize(("optimizer_class", "most"), [(SGD, 1750), (AdamW, 1850)])
def test_a_step_copies_its_batch_alone_and_reads_nothing(monkeypatch, optimizer_class, most):
    """Before, a step of this network with SGD had 2756 kernels, 117 constants and a read; AdamW 118 reads."""
    monkeypatch.setattr(torch_updates, "GROUP_BYTES", {"cpu": float("inf")})  # as on a GPU
    monkeypatch.setattr(torch_backend, "keeps_constants", lambda: True)
    model = usrn(optimizer_class(poly(0.001, 10)))
    step = CompiledStep(model)
    step(batch(0))
    # The rate is computed by tensors on the host, which are no matter of a GPU.
    monkeypatch.setattr(torch_updates, "host_rate", lambda optimizer, step: 0.001)
    with counted_kernels() as counts:
        step(batch(1))
    assert (counts.constants, counts.reads) == (BATCH_ARRAYS, 0)
    assert counts.kernels <= most


@pytest.mark.parametrize("optimizer_class", [SGD, AdamW])
def test_groups_of_gradients_change_no_bit(monkeypatch, optimizer_class):
    found = []
    for group_bytes in (0, 10_000, float("inf")):
        monkeypatch.setattr(torch_updates, "GROUP_BYTES", {"cpu": group_bytes})
        model = usrn(optimizer_class(poly(0.001, 10)))
        step = CompiledStep(model)
        for number in range(2):
            step(batch(number))
        found.append(torch.cat([v.value.detach().double().ravel() for v in model.variables]))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_the_rate_on_the_host_is_that_of_the_optimizer():
    optimizer = SGD(poly(0.01, 10))
    optimizer.build([keras.Variable([1.0])])
    for done in (0, 3, 9):
        optimizer.iterations.assign(done)
        assert torch_updates.completed_steps(optimizer) == done
        assert torch_updates.host_rate(optimizer, done) == float(optimizer.learning_rate)


def test_a_fixed_rate_is_read_again_after_a_change():
    optimizer = SGD(0.25)
    optimizer.build([keras.Variable([1.0])])
    assert torch_updates.host_rate(optimizer, 0) == 0.25
    with counted_kernels() as counts:
        assert torch_updates.host_rate(optimizer, 1) == 0.25
    assert counts.reads == 0
    optimizer.learning_rate = 0.5
    assert torch_updates.host_rate(optimizer, 2) == 0.5


def test_constants_are_kept_by_value_and_type():
    values = (1, 1.0, True, 0.0, -0.0, [1, 2], np.array([1, 2]), np.array([1, 2], "float32"))
    with CachedConstants():
        first, second = ([torch.as_tensor(value) for value in values] for _ in range(2))
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert len({id(one) for one in first}) == len(values)
    assert torch.as_tensor(1.0) is not first[1]


def test_a_constant_that_was_changed_is_made_again():
    with CachedConstants():
        torch.as_tensor([7.0]).add_(1)
        assert torch.as_tensor([7.0]).item() == 7.0


def test_a_constant_does_not_follow_its_array():
    array = np.array([3.0])
    with CachedConstants():
        torch.as_tensor(array)
        array[0] = 4.0
        assert torch.as_tensor(np.array([3.0])).item() == 3.0
