"""The poly schedule of the learning rate."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


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
