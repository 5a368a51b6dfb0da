"""Export of a model, or of the network of a run folder with the names of its classes.

The file is written beside its target, run and compared with the Keras model, and only then put in place.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.data.padding import LARGE_STEP, SIDES
from usrn_keras.errors import ExportError
from usrn_keras.evaluation.predictor import inference_of
from usrn_keras.export.conversion import convert, convert_in_worker, reason_for_worker
from usrn_keras.export.formats import capable_backend, find_format
from usrn_keras.export.parity import Reference
from usrn_keras.files import collect_files, staged_path, write_json
from usrn_keras.networks import load_segmenter
from usrn_keras.networks.native_export import SIZE_MULTIPLE, symbolic_shape
from usrn_keras.runs import Run, open_run


@dataclass(frozen=True)
class ExportReport:
    """What was written and how well it agrees with the Keras model.

    Attributes:
        format: `onnx`, `tf_saved_model`, `litert` or `torch`.
        path: File, or folder for `tf_saved_model`.
        bytes: Size of all files written.
        input_signature: `float32 (batch, 32*height, 32*width, 3)`: names are free sizes.
        max_abs_difference: Largest difference of two logits over all parity images.
        relative_difference: The same, divided by the largest absolute logit.
        argmax_agreement: Share of the pixels with the same class, 0..1.
        seconds: Conversion and parity check together.
        backend: The Keras backend that did the conversion.
        note: Where and why, if the conversion did not run in the calling process.
        labels: The file of the classes and of what a program around the model must know; "" without one.
    """

    format: str
    path: str
    bytes: int
    input_signature: str
    max_abs_difference: float
    relative_difference: float
    argmax_agreement: float
    seconds: float
    backend: str
    note: str = ""
    labels: str = ""

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for `json.dump`."""
        return asdict(self)

    def __str__(self) -> str:
        size = f"{self.bytes / 1e6:.1f} MB"
        lines = [
            f"{self.path}  ({self.format} by {self.backend}, {size}, {self.seconds:.1f} s)",
            f"input: {self.input_signature}, RGB in 0..255",
            f"parity: same class on {self.argmax_agreement:.3%} of the pixels, "
            f"logits within {self.max_abs_difference:.2g} ({self.relative_difference:.1g} relative)",
        ]
        lines += [f"classes, colours, padding: {self.labels}"] if self.labels else []
        return "\n".join([*lines, self.note] if self.note else lines)


SAVED_MODEL_MARK = "saved_model.pb"


def refuse_foreign_folder(path: Path, *, folder: bool) -> None:
    """Only an earlier export may be replaced.

    Raises:
        ExportError: `path` is a folder that holds something else, or a file where a folder is
            to be written.
    """
    if path.is_dir() and not (folder and ((path / SAVED_MODEL_MARK).exists() or not any(path.iterdir()))):
        raise ExportError(
            f"{path} is a folder and no earlier export: it is not replaced",
            hint="Name a file or folder inside it.",
        )
    if folder and path.is_file():
        raise ExportError(f"{path} is a file; this format writes a folder", hint="Choose another name.")


def size_of(path: Path) -> int:
    """Bytes of a file or of a folder's files."""
    return sum(file.stat().st_size for file in collect_files(path))


def export_model(
    model: keras.Model,
    path: Path | str,
    *,
    format: str,
    input_size: tuple[int, int] | None = None,
    tolerance: float = 1e-3,
) -> ExportReport:
    """Export a model for deployment and check it by running it.

    A format that the current backend cannot write is written by a subprocess with another
    installed backend, and the report's `note` says so.

    Args:
        model: Functional model from RGB images `(batch, height, width, 3)` float32 in 0..255,
            height and width multiples of 32, to logits `(batch, height, width, classes)` float32.
        path: File to write, or folder for `tf_saved_model`; replaced if it exists.
        format: `onnx`, `tf_saved_model`, `litert` or `torch`.
        input_size: Fixed height and width. By default both are free, as the batch always is.
            Telephones' accelerators want them fixed, for instance 512 x 512.
        tolerance: Largest difference from the Keras model's logits, relative to the largest.

    Raises:
        ExportError: Unknown format, a model that cannot be converted, or a result that does not
            agree with the model. Nothing is left behind and what was at `path` stays.
        BackendError: A converter is not installed.
        StorageError: The disk is full or the folder cannot be written.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> model = keras.Model(images, keras.layers.Conv2D(5, 1)(images))
    >>> report = export_model(model, "model.onnx", format="onnx")       # doctest: +SKIP
    >>> report.input_signature                                          # doctest: +SKIP
    'float32 (batch, 32*height, 32*width, 3)'
    """
    start, path, target = time.monotonic(), Path(path), find_format(format)
    check_input_size(input_size)
    refuse_foreign_folder(path, folder=target.folder)
    backend = capable_backend(format)
    with staged_path(path, target.file_name) as temporary:
        if reason := reason_for_worker(backend, format):
            parity = convert_in_worker(model, temporary, format, input_size, tolerance, backend)
        else:
            reference = Reference.of(model, input_size)
            parity = convert(model, temporary, format, input_size, tolerance, reference)
        size = size_of(temporary)
    return ExportReport(
        format=format,
        path=str(path),
        bytes=size,
        input_signature=describe(input_size),
        seconds=round(time.monotonic() - start, 2),
        backend=backend,
        note=reason,
        **vars(parity),
    )


def export_run(
    run_dir: Path | str,
    format: str,
    out: Path | str | None = None,
    *,
    input_size: tuple[int, int] | None = None,
) -> ExportReport:
    """Export F of a complete run in float32; `PATH.labels.json` has its classes, colours and padding.

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


def check_input_size(input_size: tuple[int, int] | None) -> None:
    """Height and width must be positive multiples of 32.

    Raises:
        ExportError: They are not.
    """
    if input_size is not None and any(side < 1 or side % SIZE_MULTIPLE for side in input_size):
        height, width = (max(1, round(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in input_size)
        raise ExportError(
            f"input size {input_size[0]} x {input_size[1]}: both must be multiples of {SIZE_MULTIPLE}, not 0",
            hint=f"Choose {height} x {width}, or leave the size free.",
        )


def describe(input_size: tuple[int, int] | None) -> str:
    """The signature for people: `float32 (batch, 32*height, 32*width, 3)`."""
    return f"float32 ({', '.join(map(str, symbolic_shape(input_size)))})"
