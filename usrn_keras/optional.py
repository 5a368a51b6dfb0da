"""Import optional packages only if a recipe uses them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType

from usrn_keras.errors import BackendError
from usrn_keras.lazy_imports import suppress_native_stderr


def require_keras_cv(asked_by: str, instead: str) -> None:
    """Check that keras-cv and TensorFlow are installed. The check imports neither, which would take seconds.

    Args:
        asked_by: Feature that requires them, such as `a keras_cv backbone`, for the message.
        instead: Alternative without them, such as `a keras/... backbone`.

    Raises:
        BackendError: keras-cv or tensorflow is not installed.
    """
    missing = [package for package in ("keras_cv", "tensorflow") if find_spec(package) is None]
    if missing:
        raise _missing(asked_by, instead, f"{' and '.join(missing)} cannot be found")


def import_keras_cv(asked_by: str, instead: str) -> ModuleType:
    """Import keras-cv, which always imports TensorFlow, and hide the GPUs from TensorFlow on other backends.

    Args:
        asked_by: Feature that requires keras-cv, such as `a keras_cv backbone`, for the message.
        instead: Alternative without it, such as `a keras/... backbone`.

    Raises:
        BackendError: keras-cv or tensorflow is not installed or cannot be imported.
    """
    import keras

    try:
        with suppress_native_stderr():
            import tensorflow

            if keras.backend.backend() != "tensorflow":
                tensorflow.config.set_visible_devices([], "GPU")
            import keras_cv
    except ImportError as error:
        raise _missing(asked_by, instead, error) from error
    return keras_cv


def import_keras_hub(asked_by: str, instead: str) -> ModuleType:
    """Import keras-hub, which imports TensorFlow if it is installed; its GPUs are hidden on other backends.

    Args:
        asked_by: Feature that requires keras-hub, such as `a keras_hub backbone`, for the message.
        instead: Alternative without it, for the message.

    Raises:
        BackendError: keras-hub cannot be imported.
    """
    import keras

    try:
        with suppress_native_stderr():
            if find_spec("tensorflow") and keras.backend.backend() != "tensorflow":
                import tensorflow

                tensorflow.config.set_visible_devices([], "GPU")
            import keras_hub
    except ImportError as error:
        raise BackendError(
            f"{asked_by} needs keras-hub: {error}", hint=f"pip install keras-hub, or choose {instead}"
        ) from error
    return keras_hub


def import_distributed(asked_by: str) -> ModuleType:
    """Import `dask.distributed`.

    Args:
        asked_by: Option that requires it, for the message.

    Raises:
        BackendError: It is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise BackendError(
            f"{asked_by} needs Dask: {error}",
            hint="pip install 'usrn-keras[dask]', or leave the option out: one process then does the work",
        ) from error
    return distributed


@contextlib.contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keep Keras from importing TensorFlow on another backend, which costs 4 s and 450 MB.

    Keras imports TensorFlow, if it is installed, to check whether an object has one of its types: when a
    layer is cloned or saved and when a seed is set (`keras/src/saving/serialization_lib.py`,
    `keras/src/utils/rng_utils.py`, as of Keras 3.15). Objects of these types cannot exist as long as
    TensorFlow is not imported.
    """
    import keras
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
