"""Which Keras backend a verb will run on, checked before Keras is imported."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from pathlib import Path

from usrn_keras.errors import BackendError

BACKENDS = {  # name: (module, what to install)
    "tensorflow": ("tensorflow", "pip install tensorflow"),
    "jax": ("jax", "pip install jax"),
    "torch": ("torch", "pip install 'usrn-keras[torch]'"),
}


def require_backend() -> str:
    """The name of the backend that Keras will load.

    Raises:
        BackendError: Keras does not know it, or it is not installed.
    """
    name, source = _chosen()
    if name not in BACKENDS:
        raise BackendError(
            f"unknown Keras backend {name!r} (from {source}); allowed: {', '.join(BACKENDS)}",
            hint="Choose one: KERAS_BACKEND=torch usrn ...",
        )
    module, install = BACKENDS[name]
    if importlib.util.find_spec(module) is None:
        others = [other for other, (module, _) in BACKENDS.items() if importlib.util.find_spec(module)]
        choice = f", or choose an installed one: KERAS_BACKEND={others[0]} usrn ..." if others else ""
        raise BackendError(
            f"the Keras backend {name!r} (from {source}) is not installed",
            hint=f"Install it: {install}{choice}",
        )
    os.environ["KERAS_BACKEND"] = name
    # Some backbones load TensorFlow on every backend; its start-up notes are not our output.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return name


def load_backend() -> None:
    """Import Keras with its backend, without the backend's start-up notes.

    Raises:
        BackendError: Keras does not know the backend, or it is not installed.
    """
    require_backend()
    from usrn_keras.quiet import native_stderr_held

    with native_stderr_held():
        importlib.import_module("keras")


def _chosen() -> tuple[str, str]:
    """The backend's name and who says so: the environment, Keras' file, or our default.

    Keras writes a file that names tensorflow wherever it finds none, so that this name in it is
    nobody's choice. JAX is the default: on a CPU it takes a quarter of TensorFlow's time for a step.
    """
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND"
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        name = json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError):
        name = None  # Keras passes over a file that it cannot read
    if name and name != "tensorflow":
        return name, str(home / "keras.json")
    return ("jax" if importlib.util.find_spec("jax") else "tensorflow"), "the default"
