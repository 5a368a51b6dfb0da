"""Learning rates of single variables: a pretrained backbone learns slower than new layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras


class SlowVariables:
    """Mixin of an optimizer: `multiply_learning_rate`, and `rate_factor` for its `update_step`.

    Args:
        *args, **kwargs: Of the optimizer.
        rate_factors: What the learning rate of each variable is multiplied by, in the order that the
            optimizer is built with; None: 1, or what `multiply_learning_rate` says.
    """

    def __init__(self, *args: Any, rate_factors: Sequence[float] | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.rate_factors = None if rate_factors is None else [float(factor) for factor in rate_factors]
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
        if self._multipliers or self.rate_factors is None:
            self.rate_factors = [self._multipliers.get(id(variable), 1.0) for variable in variables]
        elif len(self.rate_factors) != len(variables):
            raise ValueError(
                f"`rate_factors` must have one for each of the {len(variables)} variables, received "
                f"{len(self.rate_factors)}"
            )

    def rate_factor(self, variable: keras.Variable) -> float:
        """What the learning rate is multiplied by for a variable."""
        return self.rate_factors[self._get_variable_index(variable)]

    def get_config(self) -> dict[str, Any]:
        factors = self.rate_factors
        return super().get_config() | {"rate_factors": None if factors is None else list(factors)}
