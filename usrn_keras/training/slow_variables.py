"""Learning rates of single variables: a pretrained backbone learns slower than new layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras


class SlowVariables:
    """Mixin of an optimizer: `multiply_learning_rate`, and `rate_factor` for its `update_step`."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
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
        self._factors = [self._multipliers.get(id(variable), 1.0) for variable in variables]

    def rate_factor(self, variable: keras.Variable) -> float:
        """What the learning rate is multiplied by for a variable."""
        return self._factors[self._get_variable_index(variable)]
