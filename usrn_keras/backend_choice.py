"""Which backend Keras will load, who says so, and what installs it; none is imported to find out."""

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
        module: What is imported.
        install: The command that installs it.
        install_gpu: The command that installs it for NVIDIA GPUs.
        install_cuda12: The same for GPUs and drivers that CUDA 13 does not support.
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
    """Whether the module of a backend can be found; whether it can be loaded is another question."""
    return importlib.util.find_spec(BACKENDS[name].module) is not None


def reinstall(name: str) -> str:
    """The command that replaces a backend that is installed and cannot be loaded."""
    packages = "jax jaxlib" if name == "jax" else name
    return f"pip install --force-reinstall {packages}"


def chosen_backend() -> tuple[str, str]:
    """The backend's name and who says so: the environment, Keras' file, or our default.

    Keras writes a file that names tensorflow wherever it finds none, so that this name in it is
    nobody's choice. JAX is the default: it needs no TensorFlow, and a GPU build of it is one package.
    The name may be one that Keras does not know, or that is not installed.
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
    return ("jax" if is_installed("jax") else "tensorflow"), "the default"
