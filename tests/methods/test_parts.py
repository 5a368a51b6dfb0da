"""Parts of an objective: whose gradients are taken, when variables move, what later parts read."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

from usrn_keras.backends import CompiledStep
from usrn_keras.methods import BatchSpec, LossPart, Method, Network
from usrn_keras.networks import Branch
from usrn_keras.optimizers import SGD, AdamW, GroupedOptimizer
from usrn_keras.training import Loop, load_checkpoint, save_checkpoint

pytestmark = pytest.mark.every_backend

RATE, MOMENTUM, DECAY, STEPS = 0.1, 0.9, 0.01, 3


def linear_branch() -> Branch:
    """A branch of one number: none of its layers is used, its weights are those of the test."""
    images = keras.Input((None, None, 1))
    features = keras.Input((None, None, 1))
    parts = [keras.Model(images, layers.Conv2D(1, 1, use_bias=False)(images)) for _ in range(2)]
    decoder = keras.Model([images, features], layers.Add()([images, features]))
    return Branch(*parts, decoder, keras.Model(features, layers.Conv2D(1, 1)(features)))


class TwoParts(Method):
    """Two weights. Part one: (a b - x)^2 by both; part two: (a - c)^2 by a, where c = a b of part one.

    The context has no gradient, so that part two sees c as a number. `seen` keeps the largest x so far.
    """

    method_name = title = "two_parts"
    inputs = BatchSpec(progress=True)

    def __init__(self, **kwargs):
        super().__init__([Network(linear_branch())], **kwargs)
        self.a = self.add_weight(name="a", initializer=keras.initializers.Constant(1.5))
        self.b = self.add_weight(name="b", initializer=keras.initializers.Constant(0.5))
        self.seen = self.add_weight(name="seen", initializer="zeros", trainable=False)

    def loss_parts(self):
        return [
            LossPart("first", self.first, [self.a, self.b], reports=("product",)),
            LossPart("watched", self.watched, ()),
            LossPart("second", self.second, [self.a]),
        ]

    def first(self, batch, context):
        x = ops.mean(ops.cast(batch["labelled"], "float32"))
        self.seen.assign(ops.maximum(self.seen, x))
        product = self.a * self.b
        return {"loss": ops.square(product - x), "product": product}, {"product": product}

    def watched(self, batch, context):
        """Trains nothing: its loss counts, and moves nothing."""
        return {"loss": 7.0 * self.b * batch["progress"]}, {"half": context["product"] / 2}

    def second(self, batch, context):
        return {"loss": ops.square(self.a - 2 * context["half"])}, {}


def batch_of(number: int) -> dict[str, np.ndarray]:
    images = np.full((2, 1, 1, 1), 2.0 + number, "float32")
    return {"labelled": images, "labels": np.zeros((2, 1, 1), "int32")}


def compiled(optimizer) -> TwoParts:
    method = TwoParts()
    optimizer.build(method.trainable_variables)
    method.compile(optimizer=optimizer, jit_compile=keras.backend.backend() != "torch")
    return method


def expected(update, steps: int = STEPS) -> list[tuple[float, float, float]]:
    """Loss, a and b after each step: both gradients at one point, then one move."""
    weights, found = {"a": 1.5, "b": 0.5}, []
    for number in range(steps):
        a, b = weights["a"], weights["b"]
        x, c = 2.0 + number, a * b
        gradients = {"a": 2 * (c - x) * b + 2 * (a - c), "b": 2 * (c - x) * a}
        loss = (c - x) ** 2 + 7 * b * number / steps + (a - c) ** 2
        for name, gradient in gradients.items():
            weights[name] = update(name, weights[name], gradient, number)
        found.append((loss, weights["a"], weights["b"]))
    return found


def momentum_update():
    buffers = {"a": 0.0, "b": 0.0}

    def update(name, weight, gradient, number):
        buffers[name] = MOMENTUM * buffers[name] + gradient + DECAY * weight
        return weight - RATE * buffers[name]

    return update


def value_of(variable) -> float:
    return float(keras.ops.convert_to_numpy(variable.value))


@pytest.mark.parametrize("parts", [True, False], ids=["gradients of each part", "their sum"])
def test_all_gradients_are_taken_at_one_point(parts):
    """`b`, which the last part does not train, moves with the others; a loss that trains nothing, nothing."""
    options = {} if parts else {"clipvalue": 1e6}  # options of Keras need the gradient as a whole
    method = compiled(SGD(RATE, momentum=MOMENTUM, coupled_weight_decay=DECAY, **options))
    step = CompiledStep(method)
    for number, (loss, a, b) in enumerate(expected(momentum_update())):
        terms = step(batch_of(number) | {"progress": np.float32(number / STEPS)})
        found = float(terms["loss"]), value_of(method.a), value_of(method.b), value_of(method.seen)
        np.testing.assert_allclose(found, (loss, a, b, 2.0 + number), rtol=1e-5)


def test_the_context_carries_no_gradient():
    """With it, the second part would train b through c; here b learns from the first part alone."""
    method = compiled(SGD(RATE, momentum=0.0, coupled_weight_decay=0.0))
    CompiledStep(method)(batch_of(0) | {"progress": np.float32(0)})
    (_, a, b), *_ = expected(lambda name, weight, gradient, number: weight - RATE * gradient, 1)
    np.testing.assert_allclose([value_of(method.a), value_of(method.b)], [a, b], rtol=1e-6)
    c = 1.5 * 0.5
    with_gradient = 0.5 - RATE * (2 * (c - 2) * 1.5 - 2 * (1.5 - c) * 1.5)
    assert abs(b - with_gradient) > 0.1


class Batches:
    """The batch of each step."""

    def iterate(self, start, stop):
        return map(batch_of, range(start, stop))

    def names(self, step):
        return []


def test_the_loop_gives_the_progress_and_keeps_lasting_state(tmp_path):
    method = compiled(SGD(RATE, momentum=MOMENTUM, coupled_weight_decay=DECAY))
    records = []
    Loop(method, Batches(), STEPS, tmp_path / "c.npz", log_every=1, record=records.append).run()
    losses = [loss for loss, _, _ in expected(momentum_update())]
    np.testing.assert_allclose([record["loss"] for record in records], losses, rtol=1e-5)
    again = compiled(SGD(RATE, momentum=MOMENTUM, coupled_weight_decay=DECAY))
    assert load_checkpoint(tmp_path / "c.npz", again)["step"] == STEPS
    assert value_of(again.seen) == 2.0 + STEPS - 1


def test_a_batch_without_what_the_method_reads_is_refused():
    with pytest.raises(ValueError, match=r"a batch of `TwoParts` must be a dict of .*; missing: progress"):
        TwoParts().batch_of(batch_of(0))
    with pytest.raises(ValueError, match="missing: progress"):
        TwoParts().batch_of((batch_of(0)["labelled"], batch_of(0)["labels"]))


def grouped() -> GroupedOptimizer:
    return GroupedOptimizer(
        {"rest": SGD(0.1, momentum=0.5, coupled_weight_decay=0.0), "slow": AdamW(0.001, beta_1=0.8)}
    )


def test_several_optimizers_move_their_groups_and_resume(tmp_path):
    """Each moves as it would alone; state and groups go into a checkpoint and out of it."""

    def method_of(optimizer) -> TwoParts:
        method = TwoParts()
        if isinstance(optimizer, GroupedOptimizer):
            optimizer.assign_groups({"slow": [method.b]})
        optimizer.build(method.trainable_variables)
        method.compile(optimizer=optimizer, jit_compile=keras.backend.backend() != "torch")
        return method

    def trained(method: TwoParts, start: int, stop: int) -> list[float]:
        step = CompiledStep(method)
        for number in range(start, stop):
            step(batch_of(number) | {"progress": np.float32(0)})
        return [value_of(method.a), value_of(method.b)]

    momentum, means = {"a": 0.0}, {"m": 0.0, "v": 0.0}

    def update(name, weight, gradient, number):
        if name == "a":
            momentum["a"] = 0.5 * momentum["a"] + gradient
            return weight - 0.1 * momentum["a"]
        means["m"] = 0.8 * means["m"] + 0.2 * gradient
        means["v"] = 0.999 * means["v"] + 0.001 * gradient**2
        unbiased = means["m"] / (1 - 0.8 ** (number + 1)), means["v"] / (1 - 0.999 ** (number + 1))
        return weight - 0.001 * unbiased[0] / (unbiased[1] ** 0.5 + 1e-7)

    whole = method_of(grouped())
    np.testing.assert_allclose(trained(whole, 0, 2), expected(update, 2)[-1][1:], rtol=1e-5)
    save_checkpoint(tmp_path / "c.npz", whole, 2)
    resumed = method_of(grouped())
    assert load_checkpoint(tmp_path / "c.npz", resumed)["step"] == 2
    assert trained(resumed, 2, 3) == trained(whole, 2, 3)
    assert int(keras.ops.convert_to_numpy(resumed.optimizer.iterations)) == 3
