"""SGD as in the official code: coupled weight decay and a lower learning rate for the backbone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from usrn_keras.optimizers.learning_rates import LearningRateMultipliers


@keras.saving.register_keras_serializable(package="usrn_keras")
class SGD(LearningRateMultipliers, keras.optimizers.Optimizer):
    """Stochastic gradient descent with momentum and coupled weight decay, as in `torch.optim.SGD`.

        g <- gradient + coupled_weight_decay * w
        m <- momentum * m + g
        w <- w - learning_rate * multiplier(w) * m

    `keras.optimizers.SGD` differs in two ways: its `weight_decay` is decoupled, and its momentum buffer
    includes the learning rate of each step, which gives another result under a schedule.

    Args:
        learning_rate: Learning rate, a float or a schedule.
        momentum: Momentum, in [0, 1).
        coupled_weight_decay: Weight decay: this factor times the weight is added to the gradient.
        name: Name of the optimizer.
        **kwargs: Further arguments of `keras.optimizers.Optimizer`, such as `gradient_accumulation_steps`.

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

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._buffers = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.add_gradient(gradient, variable, first=True)
        self._move(variable, learning_rate)

    def add_gradient(self, gradient: Any, variable: keras.Variable, *, first: bool) -> None:
        """Add the gradient of one part of the objective to the momentum, before `take_step`.

        The momentum buffer is linear in the gradient. So the gradients of the parts are added to it one by
        one, and their sum, which has the size of the weights, is never stored.

        Args:
            gradient: Gradient of the part by `variable`.
            variable: Variable that the optimizer was built with.
            first: Whether this is the first gradient of the variable since the last step.
        """
        buffer = self.momentum_of(variable)
        gradient = ops.cast(gradient, variable.dtype)
        if first:
            gradient = self.momentum * buffer + (gradient + self.coupled_weight_decay * variable)
        else:
            gradient = buffer + gradient
        self.assign(buffer, gradient)

    @property
    def accepts_partial_gradients(self) -> bool:
        """Whether `add_gradient` and `take_step` equal `apply`: true if no option of Keras is set."""
        return self.applies_gradients_as_they_are

    def take_step(self, variables: Iterable[keras.Variable] | None = None) -> None:
        """Update the variables after `add_gradient` was called for each part.

        Args:
            variables: Variables that some part trains; all by default.
        """
        rate = self._get_current_learning_rate()
        for variable in self._trainable_variables if variables is None else variables:
            self._move(variable, rate)
        self._iterations.assign_add(1)

    def momentum_of(self, variable: keras.Variable) -> keras.Variable:
        """Momentum buffer of a variable."""
        return self._buffers[self._get_variable_index(variable)]

    def buffers_of(self, variable: keras.Variable) -> tuple[keras.Variable]:
        """Optimizer state of a variable: its momentum buffer."""
        return (self.momentum_of(variable),)

    def _move(self, variable: keras.Variable, learning_rate: Any) -> None:
        rate = ops.cast(learning_rate, variable.dtype) * self.rate_factor(variable)
        self.assign_sub(variable, rate * self.momentum_of(variable))

    def get_config(self) -> dict[str, Any]:
        own = {"momentum": self.momentum, "coupled_weight_decay": self.coupled_weight_decay}
        return super().get_config() | own
