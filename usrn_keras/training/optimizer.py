"""SGD as the official code uses it: coupled weight decay, poly schedule, a slower backbone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="usrn_keras")
class SGD(keras.optimizers.Optimizer):
    """Stochastic gradient descent with momentum and coupled weight decay, as `torch.optim.SGD`.

        g <- gradient + coupled_weight_decay * w
        m <- momentum * m + g
        w <- w - learning_rate * multiplier(w) * m

    `keras.optimizers.SGD` differs twice: its `weight_decay` is decoupled, and its momentum
    buffer holds the learning rate of each step, which matters under a schedule.

    Args:
        learning_rate: Float or schedule.
        momentum: In [0, 1).
        coupled_weight_decay: Added to the gradient, times the weight.
        name: Name of the optimizer.
        **kwargs: Of `keras.optimizers.Optimizer`, such as `gradient_accumulation_steps`.

    Example:

    >>> weight = keras.Variable([1.0])
    >>> optimizer = SGD(0.1, coupled_weight_decay=0.5)
    >>> optimizer.apply([ops.ones((1,))], [weight])
    >>> round(float(weight[0]), 6)  # 1 - 0.1 * (1 + 0.5)
    0.85
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.9,
        coupled_weight_decay: float = 1e-4,
        name: str = "sgd",
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum
        self.coupled_weight_decay = coupled_weight_decay
        self._multipliers: dict[int, float] = {}

    def multiply_learning_rate(self, variables: Iterable[keras.Variable], multiplier: float) -> None:
        """Let `variables` learn at `multiplier` times the learning rate. Call before `build`."""
        if self.built:
            raise ValueError("`multiply_learning_rate` must be called before the optimizer is built")
        self._multipliers |= {id(variable): multiplier for variable in variables}

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._buffers = self.add_optimizer_variables(variables, "momentum")
        self._factors = [self._multipliers.get(id(variable), 1.0) for variable in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.add_gradient(gradient, variable, first=True)
        self._move(variable, learning_rate)

    def add_gradient(self, gradient: Any, variable: keras.Variable, *, first: bool) -> None:
        """Take in the gradient of one part of the objective, before `take_step`.

        The momentum buffer is linear in the gradient, so the gradients of the parts go into it one by one
        and no sum of them is kept: a set of weights less in memory.

        Args:
            gradient: Of `variable`.
            variable: One that the optimizer was built with.
            first: Whether it is the first one since the last step.
        """
        buffer = self.momentum_of(variable)
        gradient = ops.cast(gradient, variable.dtype)
        if first:
            gradient = self.momentum * buffer + (gradient + self.coupled_weight_decay * variable)
        else:
            gradient = buffer + gradient
        self.assign(buffer, gradient)

    def take_step(self) -> None:
        """Move all variables, after `add_gradient` for each part."""
        rate = self._get_current_learning_rate()
        for variable in self._trainable_variables:
            self._move(variable, rate)
        self._iterations.assign_add(1)

    def momentum_of(self, variable: keras.Variable) -> keras.Variable:
        """The momentum buffer of a variable."""
        return self._buffers[self._get_variable_index(variable)]

    def rate_factor(self, variable: keras.Variable) -> float:
        """What the learning rate is multiplied by for a variable."""
        return self._factors[self._get_variable_index(variable)]

    def _move(self, variable: keras.Variable, learning_rate: Any) -> None:
        rate = ops.cast(learning_rate, variable.dtype) * self.rate_factor(variable)
        self.assign_sub(variable, rate * self.momentum_of(variable))

    def get_config(self) -> dict[str, Any]:
        own = {"momentum": self.momentum, "coupled_weight_decay": self.coupled_weight_decay}
        return super().get_config() | own


@keras.saving.register_keras_serializable(package="usrn_keras")
class PolySchedule(keras.optimizers.schedules.LearningRateSchedule):
    """`initial * (1 - step / total_steps) ^ power`, 0 from `total_steps` on.

    Args:
        initial: Learning rate at step 0.
        total_steps: T.
        power: 0.9 in the paper.

    Example:

    >>> round(float(PolySchedule(0.01, 100, 0.9)(50)), 6)
    0.005359
    """

    def __init__(self, initial: float, total_steps: int, power: float = 0.9):
        super().__init__()
        self.initial = initial
        self.total_steps = total_steps
        self.power = power

    def __call__(self, step: Any) -> Any:
        done = ops.minimum(ops.cast(step, "float32") / self.total_steps, 1.0)
        return self.initial * ops.power(1.0 - done, self.power)

    def get_config(self) -> dict[str, Any]:
        return {"initial": self.initial, "total_steps": self.total_steps, "power": self.power}
