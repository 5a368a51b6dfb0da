"""AdamW with a slower backbone: fewer steps than SGD where classes are unbalanced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from usrn_keras.optimizers.learning_rates import SlowVariables


@keras.saving.register_keras_serializable(package="usrn_keras")
class AdamW(SlowVariables, keras.optimizers.Adam):
    """Adam with decoupled weight decay (arXiv 1711.05101) and learning rates of single variables.

        w <- w - learning_rate * multiplier(w) * (adam(gradient) + decoupled_weight_decay * w)

    Kernels alone decay: biases and the scales of batch normalisation do not. `keras.optimizers.AdamW`
    has no rates of single variables, and its decay would move slow variables at the full rate.

    Rare classes have small gradients for most steps. Adam divides by their size, so that it learns them
    sooner than SGD (Kunstner et al., 2024, arXiv 2402.19449).

    Args:
        learning_rate: Float or schedule.
        beta_1: Decay of the mean of the gradients, in [0, 1).
        beta_2: Decay of the mean of their squares, in [0, 1).
        decoupled_weight_decay: Times learning rate and weight.
        name: Name of the optimizer.
        **kwargs: Of `keras.optimizers.Adam`, such as `gradient_accumulation_steps`.

    Example:

    >>> weight = keras.Variable([[1.0]])
    >>> optimizer = AdamW(0.1, decoupled_weight_decay=0.5)
    >>> optimizer.apply([ops.ones((1, 1))], [weight])
    >>> round(float(weight[0, 0]), 5)  # 1 - 0.1 * (1 + 0.5 * 1)
    0.85
    """

    update_together: ClassVar[Callable | None] = None  # set by a backend that moves all variables at once

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
        """Keras' hook for a step of all variables at once; it calls `update_step` for each by default."""
        if self.update_together is None or self.amsgrad:
            super()._backend_update_step(grads, trainable_variables, learning_rate)
        else:
            self.update_together(self, grads, trainable_variables, learning_rate)

    def decays(self, variable: keras.Variable) -> bool:
        """Whether weight decay is for a variable: kernels alone."""
        return len(variable.shape) > 1

    def buffers_of(self, variable: keras.Variable) -> tuple[keras.Variable, keras.Variable]:
        """The means of a variable's gradients and of their squares."""
        index = self._get_variable_index(variable)
        return self._momentums[index], self._velocities[index]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"decoupled_weight_decay": self.decoupled_weight_decay}
