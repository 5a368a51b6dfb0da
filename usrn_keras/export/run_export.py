"""Export a model, or the network of a run folder with its class names.

The file is written next to its target, run and compared with the Keras model, and only then moved to the
target.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.data.batches.padding import LARGE_STEP, SIDES
from usrn_keras.errors import ExportError
from usrn_keras.evaluation.predictor import inference_of
from usrn_keras.export.conversion import convert, convert_in_worker, reason_for_worker
from usrn_keras.export.formats import capable_backend, find_format
from usrn_keras.export.onnx_labels import label_onnx
from usrn_keras.export.parity import Reference
from usrn_keras.files import collect_files, staged_path, write_json
from usrn_keras.networks import load_segmenter
from usrn_keras.networks.native_export import SIZE_MULTIPLE, bands_of, symbolic_shape
from usrn_keras.recipe.bands import RGB, Bands, parse_bands
from usrn_keras.runs import Run, open_run

RGB_NAMES = ", ".join(RGB.names)


@dataclass(frozen=True)
class ExportReport:
    """Result of an export and its parity check.

    Attributes:
        format: Export format: `onnx`, `tf_saved_model`, `litert` or `torch`.
        path: Path of the file, or of the folder for `tf_saved_model`.
        bytes: Size of all written files in bytes.
        input_signature: Type and shape of the input, such as `float32 (batch, 32*height, 32*width, 3)`; names
            are dynamic sizes.
        max_abs_difference: Maximum difference of two logits over all parity images.
        relative_difference: Maximum difference divided by the largest absolute logit.
        argmax_agreement: Share of pixels with the same class, 0..1.
        seconds: Duration of conversion and parity check in seconds.
        backend: Keras backend of the conversion.
        note: Reason if the conversion ran in another process; may be empty.
        labels: Path of the file that describes classes and preprocessing; may be empty.
        bands: Names of the channels of the images, separated by commas; empty if they are not known.
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
    bands: str = RGB_NAMES

    def to_json(self) -> dict[str, Any]:
        """Convert the report to JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        size = f"{self.bytes / 1e6:.1f} MB"
        lines = [
            f"{self.path}  ({self.format} by {self.backend}, {size}, {self.seconds:.1f} s)",
            f"input: {self.input_signature}, {_channels(self.bands)} in 0..255",
            f"parity: same class for {self.argmax_agreement:.3%} of the pixels, "
            f"logits within {self.max_abs_difference:.2g} ({self.relative_difference:.1g} relative)",
        ]
        lines += [f"classes, colours, padding: {self.labels}"] if self.labels else []
        return "\n".join([*lines, self.note] if self.note else lines)


SAVED_MODEL_MARK = "saved_model.pb"


def check_target(path: Path, *, folder: bool) -> None:
    """Check that the target is free or an earlier export.

    Raises:
        ExportError: If `path` is a folder with other contents, or a file but the format needs a folder.
    """
    if path.is_dir() and not (folder and ((path / SAVED_MODEL_MARK).exists() or not any(path.iterdir()))):
        raise ExportError(
            f"{path} is a folder, but not an earlier export, and is not replaced",
            hint="Name a file or folder inside it with --out.",
        )
    if folder and path.is_file():
        raise ExportError(f"{path} is a file; this format writes a folder", hint="Choose another name.")


def size_of(path: Path) -> int:
    """Return the size of a file, or of all files of a folder, in bytes."""
    return sum(file.stat().st_size for file in collect_files(path))


def export_model(
    model: keras.Model,
    path: Path | str,
    *,
    format: str,
    input_size: tuple[int, int] | None = None,
    tolerance: float = 1e-3,
    finish: Callable[[Path], None] = lambda path: None,
) -> ExportReport:
    """Export a model for deployment and check it by running it.

    A format that the current backend cannot write is converted by a subprocess with another installed
    backend, as described in the report's `note`.

    Args:
        model: Functional model from images, float32 of shape `(batch, height, width, bands)` in 0..255 with
            height and width multiples of 32, to logits, float32 of shape `(batch, height, width, classes)`.
        path: Path of the file, or of the folder for `tf_saved_model`; replaced if it exists.
        format: Export format: `onnx`, `tf_saved_model`, `litert` or `torch`.
        input_size: Fixed height and width, such as `(512, 512)` for mobile accelerators. By default both are
            dynamic; the batch size is always dynamic.
        tolerance: Maximum difference from the Keras model's logits, relative to the largest logit.
        finish: Called with the file or folder that was written and checked, before it is moved to `path`.

    Raises:
        ExportError: If the format is unknown, the model cannot be converted, or the result differs from
            the model. No new files remain, and an existing export is kept.
        BackendError: If a converter is not installed.
        StorageError: If the disk is full or the folder is not writable.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> model = keras.Model(images, keras.layers.Conv2D(5, 1)(images))
    >>> report = export_model(model, "model.onnx", format="onnx")       # doctest: +SKIP
    >>> report.input_signature                                          # doctest: +SKIP
    'float32 (batch, 32*height, 32*width, 3)'
    """
    start, path, target = time.monotonic(), Path(path), find_format(format)
    check_input_size(input_size)
    check_target(path, folder=target.folder)
    backend = capable_backend(format)
    with staged_path(path, target.file_name) as temporary:
        if reason := reason_for_worker(backend, format):
            parity = convert_in_worker(model, temporary, format, input_size, tolerance, backend)
        else:
            reference = Reference.of(model, input_size)
            parity = convert(model, temporary, format, input_size, tolerance, reference)
        finish(temporary)
        size = size_of(temporary)
    return ExportReport(
        format=format,
        path=str(path),
        bytes=size,
        input_signature=describe(input_size, bands_of(model)),
        bands="" if bands_of(model) != RGB.count else RGB_NAMES,
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
    argmax: bool = False,
) -> ExportReport:
    """Export F of a complete run in float32, and describe classes and preprocessing in `PATH.labels.json`.

    An ONNX file has class names and colours as metadata too, see `usrn_keras.export.onnx_labels`.

    Args:
        run_dir: Path of the run folder.
        format: Export format: `onnx`, `tf_saved_model`, `litert` or `torch`.
        out: Path of the file, or of the folder for `tf_saved_model`; by default in `RUN/export/`.
        input_size: Fixed height and width; dynamic by default.
        argmax: Whether an ONNX file has the output `classes` too, the class of each pixel.

    Raises:
        RunError: If the run is not complete.
        ExportError: If `argmax` is set for another format than `onnx`.
        ExportError, BackendError, StorageError: See `export_model`.

    Example:

    >>> export_run("runs/quickstart", "onnx").path                      # doctest: +SKIP
    'runs/quickstart/export/model.onnx'
    """
    if argmax and format != "onnx":
        raise ExportError(
            f"classes as an output are for onnx alone, received the format {format!r}",
            hint="Take the argmax over the last axis of the logits.",
        )
    path = Path(out) if out is not None else Path(run_dir) / "export" / find_format(format).file_name
    run = open_run(run_dir)
    bands = _bands(run).names
    described = labels(run, format, input_size)  # before the conversion, which takes long
    # Export formats and runtimes do not support convolutions in bfloat16.
    model = load_segmenter(run.model_path, float32=True)
    labels_path = path.with_name(f"{path.name}.labels.json")

    def finish(written: Path) -> None:  # so that no interrupt leaves a model without its classes
        if format == "onnx":
            label_onnx(written, run.classes, np.asarray(run.palette).tolist(), argmax=argmax, bands=bands)
        write_json(labels_path, described)

    report = export_model(model, path, format=format, input_size=input_size, finish=finish)
    return replace(report, labels=str(labels_path), bands=", ".join(bands))


def labels(run: Run, format: str, input_size: tuple[int, int] | None) -> dict[str, Any]:
    """Describe classes, input and output of the exported model.

    Args:
        run: Run of the model.
        format: Export format.
        input_size: Fixed height and width, or None.
    """
    bands = _bands(run)
    return {
        "classes": list(run.classes),
        "palette": np.asarray(run.palette).tolist(),
        "measured": {
            "mode": inference_of(run.recipe).line(),
            "meaning": "how `usrn evaluate` runs the network; whole: once per image. Windows (slide), "
            "mirrored images (flip) and scales are not part of the model.",
        },
        "input": {
            "name": "images",
            "signature": describe(input_size, bands.count),
            "bands": list(bands.names),
            "preprocessing": f"none: {_channels(', '.join(bands.names))}, 0..255; scaling is inside the "
            "model",
            **value_range(run),
            "size_multiple": SIZE_MULTIPLE,
            "padding": "Pad the image at the bottom and right with its mean colour, and crop the result.",
            "sides": list(SIDES),
            "sides_meaning": "`usrn` pads height and width to the next of these sides, or above them to the "
            f"next multiple of {LARGE_STEP}; other multiples change some predictions",
        },
        "output": {
            "name": find_format(format).output,
            "signature": "float32 (batch, height, width, classes)",
            "class": "argmax over the last axis",
        },
    }


def value_range(run: Run) -> dict[str, Any]:
    """Describe how values of 16-bit images become 0..255; empty without a value range."""
    if not (found := run.recipe.data.value_range):
        return {}
    low, high = found
    return {
        "value_range": list(found),
        "value_range_meaning": "16-bit images: round(255 * clip((value - low) / (high - low), 0, 1)) with "
        f"low = {low} and high = {high} for every image; 8-bit images as they are",
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


def describe(input_size: tuple[int, int] | None, bands: int) -> str:
    """The signature for people: `float32 (batch, 32*height, 32*width, 3)`."""
    return f"float32 ({', '.join(map(str, symbolic_shape(input_size, bands)))})"


def _bands(run: Run) -> Bands:
    """Bands of the images of a run."""
    return parse_bands(run.recipe.data.bands) or RGB


def _channels(names: str) -> str:
    """The channels for people: `RGB`, or the names of the bands."""
    return "RGB" if names == RGB_NAMES else f"bands {names}".rstrip()
