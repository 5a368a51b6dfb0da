"""Describe the environment of a run: versions, backend, devices."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pydantic

from usrn_keras._version import NUMERICS, __version__
from usrn_keras.errors import RunError
from usrn_keras.files import read_json, write_json
from usrn_keras.machine import has_nvidia_gpu, visible_gpus
from usrn_keras.runs.run_files import Session, as_written

ENVIRONMENT_FILE = "environment.json"

PACKAGES = ("keras", "tensorflow", "jax", "torch", "keras-cv", "numpy", "opencv-python-headless")


def describe_environment() -> dict[str, Any]:
    """Return versions, backend and hardware of this process as JSON values."""
    import keras  # here, so that run folders can be listed without a backend

    from usrn_keras.backends import device_names

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
        "gpus": [
            {"name": gpu.name, "memory": gpu.total, "driver": gpu.driver}
            for gpu in (visible_gpus() if has_nvidia_gpu() else ())
        ],
        "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "command": sys.argv,
    }


def recorded_numerics(run: Path) -> str:
    """Return the `NUMERICS` of the sessions of a run, such as `1`; 0 for runs that did not record it.

    Args:
        run: Path of the run folder.
    """
    return ", ".join(sorted({str(session.numerics) for session in read_sessions(run)}))


def read_sessions(run: Path) -> list[Session]:
    """Return the sessions in which a run was trained; empty if `environment.json` is missing or damaged.

    Args:
        run: Path of the run folder.
    """
    try:
        return read_json(run / ENVIRONMENT_FILE, pydantic.TypeAdapter(list[Session]).validate_python)
    except RunError:
        return []


def trained_backends(run: Path) -> list[str]:
    """Return the backends of the sessions of a run, in order and each once.

    Args:
        run: Path of the run folder.
    """
    return list(dict.fromkeys(session.backend for session in read_sessions(run) if session.backend))


def add_session(run: Path) -> None:
    """Append this process to `environment.json`.

    Nothing that is trained depends on the file, so a damaged one does not stop a run: it is kept under
    another name, and a new one begins.

    Args:
        run: Path of the run folder.
    """
    file = run / ENVIRONMENT_FILE
    try:
        sessions = read_json(file, as_written(list[Session])) if file.exists() else []
    except RunError:
        sessions = []
        os.replace(file, file.with_name("environment.damaged.json"))
    write_json(file, [*sessions, describe_environment()])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
