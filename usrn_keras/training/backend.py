"""The training step of the current Keras backend."""

from __future__ import annotations

import keras

if keras.backend.backend() == "tensorflow":
    from usrn_keras.training.step_tensorflow import CompiledStep, TrainStep
elif keras.backend.backend() == "jax":
    from usrn_keras.training.step_jax import CompiledStep, TrainStep
elif keras.backend.backend() == "torch":
    from usrn_keras.training.step_torch import CompiledStep, TrainStep
else:
    raise ImportError(
        "usrn_keras trains on the Keras backends tensorflow, jax and torch, received "
        f"{keras.backend.backend()!r}; set KERAS_BACKEND to one of them"
    )

__all__ = ["CompiledStep", "TrainStep"]
