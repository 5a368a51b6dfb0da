"""AdamW with a learning-rate multiplier per variable; needs fewer steps than SGD on unbalanced classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from usrn_keras.optimizers.learning_rates import LearningRateMultipliers


@keras.saving.register_keras_serializable(package="usrn_keras")
class AdamW(LearningRateMultipliers, keras.optimizers.Adam):
    """Adam with decoupled weight decay (arXiv 1711.05101) and a learning-rate multiplier per variable.

        w <- w - learning_rate * multiplier(w) * (adam(gradient) + decoupled_weight_decay * w)

    Weight decay applies to kernels only, not to biases and to the scales of batch normalisation.
    `keras.optimizers.AdamW` has no multipliers, and its decay ignores them.

    Rare classes have small gradients in most steps. Adam divides by the size of the gradients and so learns
    rare classes faster than SGD (Kunstner et al., 2024, arXiv 2402.19449).

    Args:
        learning_rate: Learning rate, a float or a schedule.
        beta_1: Decay rate of the mean of the gradients, in [0, 1).
        beta_2: Decay rate of the mean of the squared gradients, in [0, 1).
        decoupled_weight_decay: Weight decay, multiplied by the learning rate of the variable.
        name: Name of the optimizer.
        **kwargs: Further arguments of `keras.optimizers.Adam`, such as `gradient_accumulation_steps`.

    Example:

    >>> weight = keras.Variable([[1.0]])
    >>> optimizer = AdamW(0.1, decoupled_weight_decay=0.5)
    >>> optimizer.apply([ops.ones((1, 1))], [weight])
    >>> round(float(weight[0, 0]), 5)  # 1 - 0.1 * (1 + 0.5 * 1)
    0.85
    """

    fused_update: ClassVar[Callable | None] = None  # set by a backend that updates all variables at once

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        decoupled_weight_decay: float = 0.0,
        name: str = "adamw",
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, name=name, **kwargs)
        self.decoupled_weight_decay = decoupled_weight_decay

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rate = ops.cast(learning_rate, variable.dtype) * self.rate_factor(variable)
        if self.decoupled_weight_decay and self.decays(variable):
            self.assign_sub(variable, rate * self.decoupled_weight_decay * variable)
        super().update_step(gradient, variable, rate)

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        """Update all variables: a hook of Keras, which calls `update_step` for each variable by default."""
        if self.fused_update is None or self.amsgrad:
            super()._backend_update_step(grads, trainable_variables, learning_rate)
        else:
            self.fused_update(self, grads, trainable_variables, learning_rate)

    def decays(self, variable: keras.Variable) -> bool:
        """Whether weight decay applies to a variable: to kernels only."""
        return len(variable.shape) > 1

    def buffers_of(self, variable: keras.Variable) -> tuple[keras.Variable, keras.Variable]:
        """Means of the gradients of a variable and of their squares."""
        index = self._get_variable_index(variable)
        return self._momentums[index], self._velocities[index]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"decoupled_weight_decay": self.decoupled_weight_decay}
