"""An objective in parts, and optimizers that take the gradients of its parts."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.methods.handmade import PARENTS, handmade_batch, handmade_branches
from tests.tools import fill
from usrn_keras.backends import CompiledStep
from usrn_keras.backends.steps import accepts_partial_gradients, sum_of_terms
from usrn_keras.methods import USRN
from usrn_keras.optimizers import SGD, AdamW

pytestmark = pytest.mark.every_backend


def usrn(optimizer=None) -> USRN:
    model = USRN(*handmade_branches(), PARENTS, threshold=0.4)
    fill(model.variables)
    if optimizer is not None:
        optimizer.build(model.trainable_variables)
        model.compile(optimizer=optimizer)
    return model


def values(variables) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def test_terms_are_those_of_the_parts():
    model, batch = usrn(), handmade_batch(0)
    terms = model.loss_terms(batch)
    parts = sum_of_terms([part.compute(batch, {})[0] for part in model.loss_parts()])
    assert terms.keys() == parts.keys()
    assert {"supervised", "supervised_sub", "self_training", "self_training_sub"} <= terms.keys()
    for name in terms:
        found, expected = (float(keras.ops.stop_gradient(values[name])) for values in (parts, terms))
        assert found == pytest.approx(expected, rel=1e-6), name


def test_adam_trains():
    """An optimizer of Keras needs the gradient as a whole."""
    model, batch = usrn(keras.optimizers.Adam(2e-3)), handmade_batch(0)
    step, before = CompiledStep(model), values(model.trainable_variables)
    losses = [float(step(batch)["supervised"]) for _ in range(10)]
    assert np.mean(losses[-3:]) < losses[0]
    assert all((a != b).any() for a, b in zip(before, values(model.trainable_variables), strict=True))
    assert int(keras.ops.convert_to_numpy(model.optimizer._iterations)) == 10


@pytest.mark.parametrize("optimizer_class", [SGD, AdamW])
def test_gathered_steps_move_every_second_time(optimizer_class):
    model, batch = usrn(optimizer_class(0.02, gradient_accumulation_steps=2)), handmade_batch(0)
    step, seen = CompiledStep(model), [values(model.trainable_variables)]
    for _ in range(2):
        step(batch)
        seen.append(values(model.trainable_variables))
    assert all((a == b).all() for a, b in zip(seen[0], seen[1], strict=True))
    assert all((a != b).any() for a, b in zip(seen[0], seen[2], strict=True))


def test_gradients_part_by_part_are_those_of_the_sum():
    """A step that takes the parts one by one moves as one that gathers a single whole gradient."""
    lean, plain = usrn(SGD(0.02)), usrn(SGD(0.02, gradient_accumulation_steps=2))
    steps = CompiledStep(lean), CompiledStep(plain)
    batch = handmade_batch(0)
    before = values(lean.trainable_variables)
    steps[0](batch)
    for _ in range(2):  # the mean of two equal gradients
        steps[1](batch)
    moved = (values(model.trainable_variables) for model in (lean, plain))
    for start, ours, theirs in zip(before, *moved, strict=True):
        largest = max(np.abs(theirs - start).max(), 1e-5)
        np.testing.assert_allclose((ours - start) / largest, (theirs - start) / largest, atol=5e-3)


def test_options_of_keras_count():
    """Gradients that are cut to nothing move nothing."""
    model, batch = usrn(SGD(0.02, coupled_weight_decay=0.0, global_clipnorm=1e-9)), handmade_batch(0)
    before, step = values(model.trainable_variables), CompiledStep(model)
    step(batch)
    for start, now in zip(before, values(model.trainable_variables), strict=True):
        np.testing.assert_allclose(start, now, atol=1e-9)
    assert accepts_partial_gradients(SGD(0.1)) and not accepts_partial_gradients(SGD(0.1, use_ema=True))


def test_scaled_losses_are_refused():
    for optimizer in (SGD(0.1, loss_scale_factor=8.0), keras.optimizers.LossScaleOptimizer(SGD(0.1))):
        with pytest.raises(ValueError, match="do not support loss scaling"):
            accepts_partial_gradients(optimizer)
