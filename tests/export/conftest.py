"""The tiny network, here and in processes with another backend."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

CODE = """
import json, sys
from tiny_network import tiny_network
from usrn_keras.export import export_model
path, format, size = json.loads(sys.argv[1])
report = export_model(tiny_network(), path, format=format, input_size=tuple(size) if size else None)
print(json.dumps(report.to_json()))
"""


@pytest.fixture
def network():
    """A small functional network with every kind of layer that the real ones have."""
    return runpy.run_path(str(HERE / "tiny_network.py"))["tiny_network"]()


@pytest.fixture(scope="session")
def export_with():
    """`export_with(backend, path, format, input_size)`: the report of a process with that backend."""

    def export_with(backend: str, path: Path, format: str, input_size=None) -> dict:
        environment = os.environ | {
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        }
        command = [sys.executable, "-c", CODE, json.dumps([str(path), format, input_size])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return export_with
