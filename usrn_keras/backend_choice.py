"""Find the backend that Keras will load and the command that installs it, without importing any."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Backend:
    """A backend that Keras can run on.

    Args:
        module: Name of the Python module.
        install: Command that installs the backend.
        install_gpu: Command that installs the backend for NVIDIA GPUs.
        install_cuda12: Command that installs it for GPUs and drivers that CUDA 13 does not support.
    """

    module: str
    install: str
    install_gpu: str
    install_cuda12: str


TENSORFLOW_GPU = "pip install 'tensorflow[and-cuda]'"
TORCH_BUILDS = "https://pytorch.org/get-started/locally"
BACKENDS = {
    "tensorflow": Backend("tensorflow", "pip install tensorflow", TENSORFLOW_GPU, TENSORFLOW_GPU),
    "jax": Backend("jax", "pip install jax", "pip install 'jax[cuda13]'", "pip install 'jax[cuda12]'"),
    "torch": Backend(
        "torch",
        "pip install 'usrn-keras[torch]'",
        f"pip install --force-reinstall torch  (on Linux; the builds for others: {TORCH_BUILDS})",
        f"choose the build for CUDA 12 at {TORCH_BUILDS}, and add --force-reinstall to its command",
    ),
}


def is_installed(name: str) -> bool:
    """Whether the module of a backend can be found. Importing it may still fail."""
    return importlib.util.find_spec(BACKENDS[name].module) is not None


def reinstall(name: str) -> str:
    """Command that reinstalls a backend that is installed but cannot be imported."""
    packages = "jax jaxlib" if name == "jax" else name
    return f"pip install --force-reinstall {packages}"


def chosen_backend() -> tuple[str, str]:
    """Find the configured backend and the source of the setting.

    Keras writes `keras.json` with `tensorflow` if the file does not exist, so this value is not treated as
    a choice of the user. JAX is the default, because it is the fastest on the quickstart
    (docs/performance.md), does not need TensorFlow, and its GPU build is a single package.

    Returns:
        The name of the backend, which may be unknown to Keras or not installed, and the source of the
        setting: `KERAS_BACKEND`, the path of `keras.json`, or `the default`.
    """
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND"
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        name = json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError):
        name = None  # Keras ignores a file that it cannot read
    if name and name != "tensorflow":
        return name, str(home / "keras.json")
    return ("jax" if is_installed("jax") else "tensorflow"), "the default"
