"""Packages that only some recipes need, imported when a recipe asks."""

from __future__ import annotations

from types import ModuleType

import keras

from usrn_keras.errors import BackendError
from usrn_keras.quiet import native_stderr_held


def import_keras_cv(asked_by: str, instead: str) -> ModuleType:
    """keras-cv, which always loads TensorFlow; beside another backend TensorFlow is kept off the GPUs.

    Args:
        asked_by: What needs it, such as `a keras_cv backbone`, for the message.
        instead: What can be chosen where it is missing, such as `a keras/... backbone`.

    Raises:
        BackendError: keras-cv or tensorflow is not installed, or cannot be loaded.
    """
    try:
        with native_stderr_held():
            import tensorflow

            if keras.backend.backend() != "tensorflow":
                tensorflow.config.set_visible_devices([], "GPU")
            import keras_cv
    except ImportError as error:
        raise BackendError(
            f"{asked_by} needs keras-cv and tensorflow: {error}",
            hint=f"pip install keras-cv tensorflow, or choose {instead}",
        ) from error
    return keras_cv
