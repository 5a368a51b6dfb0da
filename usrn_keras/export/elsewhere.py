"""A conversion in a subprocess: with another backend, or off the accelerator.

The model travels as a `.keras` file, whose weights every backend reads. Started as
`python -m usrn_keras.export.elsewhere REQUEST`, where REQUEST is a JSON file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras

import usrn_keras
from usrn_keras.errors import ExportError, USRNError
from usrn_keras.export.convert import convert
from usrn_keras.export.parity import Parity, Reference
from usrn_keras.files import read_json, write_json


def why_elsewhere(backend: str, format: str) -> str:
    """The reason to convert in a subprocess, or nothing."""
    current = keras.backend.backend()
    if backend != current:
        return f"the {current} backend cannot write {format}: done by a subprocess with the {backend} backend"
    if on_accelerator():
        # An exported graph keeps the device it was traced on, and TF32 would blur the comparison.
        return "converted and compared on the CPU by a subprocess, so that the result runs anywhere"
    return ""


def on_accelerator() -> bool:
    """Whether the current backend computes on something else than a CPU."""
    backend = keras.backend.backend()
    if backend == "torch":
        return keras.ops.zeros(1).device.type != "cpu"
    if backend == "jax":
        import jax

        return jax.default_backend() != "cpu"
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def convert_elsewhere(
    model: keras.Model,
    path: Path,
    format: str,
    input_size: tuple[int, int] | None,
    tolerance: float,
    backend: str,
) -> Parity:
    """`convert` in a subprocess with `backend`, on the CPU.

    Raises:
        ExportError: As `convert`; or the subprocess ended without a result.
    """
    folder = path.parent
    model.save(folder / "model.keras")
    request = {
        "model": str(folder / "model.keras"),
        "path": str(path),
        "format": format,
        "input_size": input_size,
        "tolerance": tolerance,
        "reference": None,
        "result": str(folder / "result.json"),
    }
    if not on_accelerator():
        request["reference"] = str(folder / "reference.npz")
        Reference.of(model, input_size).save(folder / "reference.npz")
    write_json(folder / "request.json", request)
    return _result(_run(folder / "request.json", backend), folder / "result.json", format, backend)


def _run(request: Path, backend: str) -> subprocess.CompletedProcess[str]:
    source = Path(usrn_keras.__file__).parents[1]
    environment = os.environ | {
        "KERAS_BACKEND": backend,
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "usrn_keras.export.elsewhere", str(request)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def _result(ended: subprocess.CompletedProcess[str], path: Path, format: str, backend: str) -> Parity:
    if not path.exists():
        last = (ended.stderr.strip().splitlines() or ["no output"])[-1]
        raise ExportError(
            f"{format} export in a subprocess with the {backend} backend ended with code {ended.returncode}",
            faults=[last],
            hint=f"Run the same command with KERAS_BACKEND={backend}: weights move between backends.",
        )
    result = read_json(path)
    if "error" in result:
        raise ExportError(result["error"], faults=result["faults"], hint=result["hint"])
    return Parity(**result)


def main(request_path: str) -> None:
    """The subprocess: convert, and write the parity or the error to the result file."""
    request: dict[str, Any] = read_json(Path(request_path))
    input_size = tuple(request["input_size"]) if request["input_size"] else None
    model = keras.models.load_model(request["model"], compile=False)
    try:
        reference = (
            Reference.load(Path(request["reference"]))
            if request["reference"]
            else Reference.of(model, input_size)
        )
        parity = convert(
            model, Path(request["path"]), request["format"], input_size, request["tolerance"], reference
        )
        result = vars(parity)
    except USRNError as error:
        result = {"error": error.message, "faults": error.faults, "hint": error.hint}
    Path(request["result"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
