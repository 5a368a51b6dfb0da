"""Learning rates of single variables, such as a lower rate for a pretrained backbone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras


class LearningRateMultipliers:
    """Mixin for optimizers with a learning-rate multiplier per variable; `update_step` reads `rate_factor`.

    Args:
        *args, **kwargs: Arguments of the optimizer.
        rate_factors: Learning-rate multiplier of each variable, in the order of `build`. If None, the
            multipliers are those of `multiply_learning_rate`, or 1.
    """

    def __init__(self, *args: Any, rate_factors: Sequence[float] | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.rate_factors = None if rate_factors is None else [float(factor) for factor in rate_factors]
        self._multipliers: dict[int, float] = {}

    def multiply_learning_rate(self, variables: Iterable[keras.Variable], multiplier: float) -> None:
        """Multiply the learning rate of some variables. Call before `build`.

        Args:
            variables: Variables whose learning rate is multiplied.
            multiplier: Factor on the learning rate.

        Raises:
            ValueError: The optimizer is built already.
        """
        if self.built:
            raise ValueError("`multiply_learning_rate` must be called before the optimizer is built")
        self._multipliers |= {id(variable): multiplier for variable in variables}

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        if self._multipliers or self.rate_factors is None:
            self.rate_factors = [self._multipliers.get(id(variable), 1.0) for variable in variables]
        elif len(self.rate_factors) != len(variables):
            raise ValueError(
                f"`rate_factors` must have one value for each of the {len(variables)} variables, received "
                f"{len(self.rate_factors)} values"
            )

    def rate_factor(self, variable: keras.Variable) -> float:
        """Learning-rate multiplier of a variable."""
        return self.rate_factors[self._get_variable_index(variable)]

    @property
    def applies_gradients_as_they_are(self) -> bool:
        """Whether no option of Keras changes gradients or weights, such as clipping or accumulation."""
        options = (
            self.gradient_accumulation_steps, self.clipnorm, self.global_clipnorm, self.clipvalue,
            self.weight_decay, self.use_ema,
        )  # fmt: skip
        return not any(options)

    def get_config(self) -> dict[str, Any]:
        factors = self.rate_factors
        return super().get_config() | {"rate_factors": None if factors is None else list(factors)}


def rate_at(optimizer: keras.optimizers.Optimizer, step: int) -> float:
    """Compute the learning rate of any step; `optimizer.learning_rate` is that of the current step only.

    Args:
        optimizer: Keras optimizer with a fixed learning rate or a schedule.
        step: Number of the step, from 0.
    """
    rate = schedule_of(optimizer)
    return float(rate(step) if callable(rate) else rate)


def fixed_rate(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Return the variable of a fixed learning rate; None for a schedule."""
    rate = optimizer._learning_rate
    return rate if isinstance(rate, keras.Variable) else None


def schedule_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """Learning-rate schedule of an optimizer, or its fixed learning rate as a float."""
    rate = optimizer._learning_rate  # the property `learning_rate` evaluates a schedule
    return rate if callable(rate) else float(optimizer.learning_rate)
