"""Describe the environment of a run: versions, backend, devices."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from usrn_keras._version import NUMERICS, __version__
from usrn_keras.backends import device_names
from usrn_keras.files import read_json

PACKAGES = ("keras", "tensorflow", "jax", "torch", "keras-cv", "numpy", "opencv-python-headless")


def describe_environment() -> dict[str, Any]:
    """Return versions, backend and hardware of this process as JSON values."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "backend": keras.backend.backend(),
        "usrn_keras": __version__,
        "numerics": NUMERICS,
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "devices": device_names(),
        "command": sys.argv,
    }


def recorded_numerics(run: Path) -> str:
    """Return the `NUMERICS` of the sessions of a run, such as `1`; 0 for runs that did not record it.

    Args:
        run: Path of the run folder.
    """
    sessions = read_json(run / "environment.json")
    return ", ".join(sorted({str(session.get("numerics", 0)) for session in sessions}))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
