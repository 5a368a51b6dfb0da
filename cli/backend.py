"""Select and check the Keras backend before Keras is imported."""

from __future__ import annotations

import importlib
import os

from usrn_keras.backend_choice import BACKENDS, chosen_backend, is_installed, reinstall
from usrn_keras.errors import BackendError


def require_backend() -> str:
    """Return the name of the backend that Keras will load.

    Raises:
        BackendError: If the backend is unknown to Keras, or is not installed.
    """
    name, source = chosen_backend()
    if name not in BACKENDS:
        raise BackendError(
            f"unknown Keras backend {name!r} (from {source}); allowed: {', '.join(BACKENDS)}",
            hint="Set one, for example: KERAS_BACKEND=torch usrn ...",
        )
    if not is_installed(name):
        raise BackendError(
            f"the Keras backend {name!r} (from {source}) is not installed",
            hint=f"Install it: {BACKENDS[name].install}{_or_another(name)}",
        )
    os.environ["KERAS_BACKEND"] = name
    # Some backbones load TensorFlow on every backend; hide its start-up messages.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # By default TensorFlow reserves all GPU memory, even if another backend trains or runs share the GPU.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    return name


def load_backend() -> None:
    """Import a lean Keras with its backend; hide the start-up messages of the backend.

    Raises:
        BackendError: If the backend is unknown to Keras, is not installed, or cannot be loaded.
    """
    name = require_backend()
    from usrn_keras.lazy_imports import suppress_native_stderr
    from usrn_keras.lean_keras import keep_keras_lean

    keep_keras_lean()
    with suppress_native_stderr():
        try:
            # Import the backend alone first, so that the error names the right package.
            importlib.import_module(BACKENDS[name].module)
        except Exception as error:  # a broken installation raises anything
            raise _broken(f"the Keras backend {name!r}", reinstall(name), name, error) from error
        try:
            importlib.import_module("keras")
        except Exception as error:
            command = "pip install --force-reinstall keras"
            raise _broken(f"Keras on the backend {name!r}", command, name, error) from error
        from usrn_keras.backends import prepare_backend

        prepare_backend()


def _broken(what: str, command: str, name: str, error: Exception) -> BackendError:
    return BackendError(
        f"{what} is installed, but cannot be loaded: {type(error).__name__}: {error}",
        hint=f"Reinstall it: {command}{_or_another(name)}. `usrn doctor` checks all backends.",
    )


def _or_another(name: str) -> str:
    others = [other for other in BACKENDS if other != name and is_installed(other)]
    return f", or use an installed backend: KERAS_BACKEND={others[0]} usrn ..." if others else ""
