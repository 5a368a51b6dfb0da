"""Export formats: backends that write them, required packages, and functions."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from usrn_keras.errors import BackendError, ExportError
from usrn_keras.export.exported_models import run_litert, run_onnx, run_saved_model, run_torch
from usrn_keras.networks.file_formats import WRITERS


@dataclass(frozen=True)
class Format:
    """A format that a model can be exported to.

    Attributes:
        file_name: Default name of the file or folder.
        write: Function `write(model, path, input_size)`.
        packages: Required packages for each Keras backend that writes the format, in order of preference.
        run: Function `run(path)`, which returns a function from images to logits (numpy arrays).
        output: Description of the output that contains the logits.
        folder: Whether the format is a folder.
    """

    file_name: str
    write: Callable[[keras.Model, Path, tuple[int, int] | None], None]
    packages: Mapping[str, tuple[str, ...]]
    run: Callable[[Path], Callable[[np.ndarray], np.ndarray]]
    output: str
    folder: bool = False


FORMATS: dict[str, Format] = {
    "onnx": Format("model.onnx", *WRITERS["onnx"], run_onnx, output="logits"),
    "tf_saved_model": Format(
        "saved_model",
        *WRITERS["tf_saved_model"],
        run_saved_model,
        output="the result of the endpoint `serve`; output_0 in the signature `serving_default`",
        folder=True,
    ),
    "litert": Format("model.tflite", *WRITERS["litert"], run_litert, output="the only output"),
    "torch": Format("model.pt2", *WRITERS["torch"], run_torch, output="the result of the program"),
}


def find_format(name: str) -> Format:
    """Find a format by name.

    Raises:
        ExportError: If the format is unknown.

    Example:

    >>> find_format("onnx").file_name
    'model.onnx'
    """
    if name not in FORMATS:
        raise ExportError(f"unknown export format {name!r}; allowed: {', '.join(FORMATS)}")
    return FORMATS[name]


def capable_backend(name: str) -> str:
    """Choose the backend that writes a format: the current one if possible, otherwise an installed one.

    Raises:
        ExportError: If no installed backend writes this format.
        BackendError: If a package of the converter is missing.
    """
    packages, current = find_format(name).packages, keras.backend.backend()
    installed = [backend for backend in packages if importlib.util.find_spec(backend)]
    backend = current if current in packages else next(iter(installed), None)
    if backend is None:
        setting = " or ".join(f"KERAS_BACKEND={other}" for other in packages)
        raise ExportError(
            f"the {current} backend cannot write {name}, and no backend that can is installed",
            hint=f"Install one (pip install {next(iter(packages))}) and run the same command with {setting}; "
            "every backend can load the weights.",
        )
    missing = [package for package in packages[backend] if importlib.util.find_spec(package) is None]
    if missing:
        raise BackendError(
            f"export to {name} with the {backend} backend needs the missing packages {', '.join(missing)}",
            hint="Install them: pip install 'usrn-keras[export]'",
        )
    return backend
