"""What a run was computed on: versions, backend, devices."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata
from typing import Any

import keras

import usrn_keras

PACKAGES = ("keras", "tensorflow", "jax", "torch", "keras-cv", "numpy", "opencv-python-headless")


def describe_environment() -> dict[str, Any]:
    """Versions, backend and hardware of this process, as JSON values."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "backend": keras.backend.backend(),
        "usrn_keras": usrn_keras.__version__,
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "devices": [str(device) for device in keras.distribution.list_devices()] if _has_devices() else [],
        "command": sys.argv,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _has_devices() -> bool:
    # keras.distribution is not implemented on the torch backend.
    return keras.backend.backend() != "torch"
