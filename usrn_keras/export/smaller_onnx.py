"""Smaller copies of an ONNX file: float16 weights, and int8 by the quantiser of ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.files import atomic_path


def write_float16(source: Path, target: Path) -> str:
    """Write a copy that computes in float16; images and logits stay float32.

    Args:
        source: ONNX file in float32.
        target: File to write.

    Returns:
        How it was made, in words.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted = convert_float_to_float16(onnx.load(source), keep_io_types=True)
    with atomic_path(target) as temporary:
        onnx.save(converted, temporary)
    return "weights and layers in float16"


def write_int8(source: Path, target: Path, images: Callable[[], Iterable[np.ndarray]]) -> str:
    """Write an int8 copy: static quantisation with calibration images, or dynamic if that fails.

    Args:
        source: ONNX file in float32, whose input is `images`.
        target: File to write.
        images: Function that yields calibration images, each `(1, height, width, bands)` float32 in 0..255.

    Returns:
        How it was made, in words; after a failure of static quantisation its reason, too.
    """
    from onnxruntime.quantization import quantize_dynamic, quantize_static

    with tempfile.TemporaryDirectory() as folder:
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        prepare(source, prepared)
        reader = calibration(images())
        try:
            quantize_static(prepared, made, reader, per_channel=True)
            how = f"static, {reader.count} calibration images"
        except Exception as error:  # the quantiser raises anything
            quantize_dynamic(prepared, made, per_channel=True)
            how = f"dynamic; static failed: {first_line(error)}"
        with atomic_path(target) as temporary:
            temporary.write_bytes(made.read_bytes())
    return how


def prepare(source: Path, target: Path) -> None:
    """Infer shapes and optimize a file for the quantiser, as ONNX Runtime asks for.

    Args:
        source: ONNX file.
        target: File to write.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # Without the symbolic inference of shapes, which writes files to the current folder if it is incomplete;
    # that of ONNX is enough for convolutions.
    quant_pre_process(source, target, skip_symbolic_shape=True)


def calibration(images: Iterable[np.ndarray]) -> Any:
    """Wrap images as a `CalibrationDataReader`, which has the number of read images as `count`."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self, images: Iterator[np.ndarray]):
            self.images, self.count = images, 0

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.images, None)
            if image is None:
                return None
            self.count += 1
            return {"images": image}

    return Reader(iter(images))


def first_line(error: Exception) -> str:
    """The type of an error and the first line of its text, at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
