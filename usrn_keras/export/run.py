"""Export of the network of a run folder, with the names of its classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data.batches.padding import LARGE_STEP, SIDES
from usrn_keras.evaluation.predictor import inference_of
from usrn_keras.export.formats import find_format
from usrn_keras.export.model import export_model
from usrn_keras.export.report import ExportReport
from usrn_keras.export.signature import SIZE_MULTIPLE, describe
from usrn_keras.files import write_json
from usrn_keras.networks import load_segmenter
from usrn_keras.runs import Run, open_run


def export_run(
    run_dir: Path | str,
    format: str,
    out: Path | str | None = None,
    *,
    input_size: tuple[int, int] | None = None,
) -> ExportReport:
    """Export F of a complete run, in float32, and write what it must be told in `PATH.labels.json`.

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
    # bfloat16 is for training on a GPU: formats and runtimes know no convolution of it.
    model = load_segmenter(run.model_path, float32=True)
    report = export_model(model, path, format=format, input_size=input_size)
    labels_path = path.with_name(f"{path.name}.labels.json")
    write_json(labels_path, labels(run, format, input_size))
    return replace(report, labels=str(labels_path))


def labels(run: Run, format: str, input_size: tuple[int, int] | None) -> dict[str, Any]:
    """What a program around the exported model must know.

    Args:
        run: That the model is of.
        format, input_size: Of the export.
    """
    return {
        "classes": list(run.classes),
        "palette": np.asarray(run.palette).tolist(),
        "measured": {
            "mode": inference_of(run.recipe).line(),
            "meaning": "how `usrn evaluate` calls the network: whole: once with each image. Windows (slide), "
            "mirrored images (flip) and scales are not in the model.",
        },
        "input": {
            "name": "images",
            "signature": describe(input_size),
            "preprocessing": "none: RGB, 0..255; scaling is inside the model",
            "size_multiple": SIZE_MULTIPLE,
            "padding": "Pad the image at the bottom and right with its own mean colour, and crop the result.",
            "sides": list(SIDES),
            "sides_meaning": "what `usrn` pads height and width to: the next of these, above them the next "
            f"multiple of {LARGE_STEP}; other multiples change some predictions",
        },
        "output": {
            "name": find_format(format).output,
            "signature": "float32 (batch, height, width, classes)",
            "class": "argmax over the last axis",
        },
    }
