"""Packages that only some recipes need, imported when a recipe asks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType

import keras

from usrn_keras.errors import BackendError
from usrn_keras.lazy_imports import native_stderr_held


def require_keras_cv(asked_by: str, instead: str) -> None:
    """Raise unless keras-cv and TensorFlow are installed; nothing is imported, which takes seconds.

    Args:
        asked_by: What needs them, such as `a keras_cv backbone`, for the message.
        instead: What can be chosen where they are missing, such as `a keras/... backbone`.

    Raises:
        BackendError: keras-cv or tensorflow is not installed.
    """
    missing = [package for package in ("keras_cv", "tensorflow") if find_spec(package) is None]
    if missing:
        raise _missing(asked_by, instead, f"{' and '.join(missing)} cannot be found")


def import_keras_cv(asked_by: str, instead: str) -> ModuleType:
    """keras-cv, which always loads TensorFlow; beside another backend TensorFlow is kept off the GPUs.

    Args and errors are those of `require_keras_cv`; a package that cannot be loaded raises as well.
    """
    try:
        with native_stderr_held():
            import tensorflow

            if keras.backend.backend() != "tensorflow":
                tensorflow.config.set_visible_devices([], "GPU")
            import keras_cv
    except ImportError as error:
        raise _missing(asked_by, instead, error) from error
    return keras_cv


@contextlib.contextmanager
def tensorflow_left_out() -> Iterator[None]:
    """Keep Keras from importing TensorFlow beside another backend: 4 s and 450 MB for nothing.

    To tell whether an object is one of TensorFlow's types, Keras imports it wherever it is installed, when
    a layer is cloned or saved and when a seed is set (`keras/src/saving/serialization_lib.py`,
    `keras/src/utils/rng_utils.py`, as of Keras 3.15). What has not been imported has made no object.
    """
    from keras.src.utils.module_utils import tensorflow

    if keras.backend.backend() == "tensorflow" or "tensorflow" in sys.modules:
        yield
        return
    known, tensorflow._available = tensorflow._available, False
    try:
        yield
    finally:
        tensorflow._available = known


def _missing(asked_by: str, instead: str, reason: object) -> BackendError:
    return BackendError(
        f"{asked_by} needs keras-cv and tensorflow: {reason}",
        hint=f"pip install keras-cv tensorflow, or choose {instead}",
    )
