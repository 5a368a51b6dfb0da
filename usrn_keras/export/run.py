"""Export of the network of a run folder, with the names of its classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.export.formats import find_format
from usrn_keras.export.model import export_model
from usrn_keras.export.report import ExportReport
from usrn_keras.export.signature import SIZE_MULTIPLE, describe
from usrn_keras.files import write_json
from usrn_keras.networks import load_segmenter
from usrn_keras.runs import open_run


def export_run(
    run_dir: Path | str,
    format: str,
    out: Path | str | None = None,
    *,
    input_size: tuple[int, int] | None = None,
) -> ExportReport:
    """Export F of a complete run, and write `labels.json` beside it.

    Args:
        run_dir: Run folder.
        format: `onnx`, `tf_saved_model`, `litert` or `torch`.
        out: File, or folder for `tf_saved_model`; by default `RUN/export/model.onnx` and alike.
        input_size: Fixed height and width; both are free by default.

    Raises:
        RunError: No complete run.
        ExportError, BackendError, StorageError: As `export_model`.

    Example:

    >>> export_run("runs/quickstart", "onnx").path                      # doctest: +SKIP
    'runs/quickstart/export/model.onnx'
    """
    path = Path(out) if out is not None else Path(run_dir) / "export" / find_format(format).file_name
    run = open_run(run_dir)
    model = load_segmenter(run.model_path)
    report = export_model(model, path, format=format, input_size=input_size)
    write_json(path.parent / "labels.json", labels(run.classes, run.palette, input_size))
    return report


def labels(
    classes: tuple[str, ...], palette: np.ndarray, input_size: tuple[int, int] | None
) -> dict[str, Any]:
    """What a program around the exported model must know.

    Example:

    >>> labels(("road", "sky"), np.zeros((2, 3), "uint8"), None)["classes"]
    ['road', 'sky']
    """
    return {
        "classes": list(classes),
        "palette": np.asarray(palette).tolist(),
        "input": {
            "name": "images",
            "signature": describe(input_size),
            "preprocessing": "none: RGB, 0..255; scaling is inside the model",
            "size_multiple": SIZE_MULTIPLE,
            "padding": "Pad the image at the bottom and right to such a size and crop the result.",
        },
        "output": {
            "name": "logits",
            "signature": "float32 (batch, height, width, classes)",
            "class": "argmax over the last axis",
        },
    }
