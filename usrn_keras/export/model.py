"""Write a model in a format, run what was written, and only then put it in its place."""

from __future__ import annotations

import time
from pathlib import Path

import keras

from usrn_keras.export.convert import convert
from usrn_keras.export.convert_in_worker import convert_in_worker, reason_for_worker
from usrn_keras.export.formats import capable_backend, find_format
from usrn_keras.export.parity import Reference
from usrn_keras.export.report import ExportReport
from usrn_keras.export.signature import check_input_size, describe
from usrn_keras.export.target import refuse_foreign_folder, size_of
from usrn_keras.files import staged_path


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
