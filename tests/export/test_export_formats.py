"""Every format from every backend that can write it, run by its own runtime."""

from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.export.exported_models import run_onnx
from usrn_keras.export.parity import random_images
from usrn_keras.export.smaller_onnx import write_float16, write_int8

slow = pytest.mark.slow

PAIRS = [
    pytest.param("torch", "onnx", None),
    pytest.param("torch", "onnx", (64, 96), marks=slow),
    pytest.param("tensorflow", "onnx", None, marks=slow),
    pytest.param("tensorflow", "onnx", (64, 96), marks=slow),
    pytest.param("jax", "onnx", None, marks=slow),
    pytest.param("jax", "onnx", (64, 96), marks=slow),
    pytest.param("tensorflow", "tf_saved_model", None),
    pytest.param("tensorflow", "tf_saved_model", (64, 96), marks=slow),
    pytest.param("jax", "tf_saved_model", None, marks=slow),
    pytest.param("jax", "tf_saved_model", (64, 96), marks=slow),
    pytest.param("tensorflow", "litert", None, marks=slow),
    pytest.param("tensorflow", "litert", (64, 96), marks=slow),
    pytest.param("torch", "torch", None, marks=slow),
    pytest.param("torch", "torch", (64, 96), marks=slow),
]


@pytest.mark.parametrize(("backend", "format", "input_size"), PAIRS)
def test_export_agrees_and_names_its_input(export_with, tmp_path, backend, format, input_size):
    path = tmp_path / "new" / {"litert": "m.tflite", "onnx": "m.onnx", "torch": "m.pt2"}.get(format, "m")
    report = export_with(backend, path, format, input_size)
    assert report["relative_difference"] < 1e-5
    assert report["argmax_agreement"] > 0.999
    assert report["backend"] == backend
    assert report["note"] == ""
    shape = "batch, 64, 96, 3" if input_size else "batch, 32*height, 32*width, 3"
    assert report["input_signature"] == f"float32 ({shape})"
    assert list(path.parent.iterdir()) == [path], "no temporary files beside the model"
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    assert report["bytes"] == sum(file.stat().st_size for file in files)
    if format == "onnx":
        check_onnx_interface(path, input_size)
        check_onnx_tools(path, tmp_path)


def check_onnx_interface(path, input_size):
    """Alike from all backends: names, symbolic sizes, and any batch size runs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    (images,), (logits,) = session.get_inputs(), session.get_outputs()
    height, width = input_size or ("32*height", "32*width")
    assert (images.name, images.shape) == ("images", ["batch", height, width, 3])
    assert (logits.name, logits.shape) == ("logits", ["batch", height, width, 5])
    batch = np.zeros((3, *(input_size or (32, 192)), 3), "float32")
    assert session.run(None, {"images": batch})[0].shape == (*batch.shape[:3], 5)


def check_onnx_tools(path, tmp_path):
    """Shape inference and quantiser of ONNX Runtime, and float16, run on the file, and so do the results."""
    import onnx
    from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

    onnx.shape_inference.infer_shapes(onnx.load(path), check_type=True, strict_mode=True)
    # It cannot prove that multiples of 32 divide without a remainder, but takes skip connections as equal.
    SymbolicShapeInference.infer_shapes(onnx.load(path), auto_merge=True)
    session = run_onnx(path)
    images = random_images((2, 64, 96))
    logits = session(images)
    assert "static, 2 cal" in write_int8(
        path, tmp_path / "int8.onnx", lambda: (images[i][None] for i in (0, 1))
    )
    write_float16(path, tmp_path / "float16.onnx")
    for name, tolerance in (("int8", 0.2), ("float16", 0.01)):
        found = run_onnx(tmp_path / f"{name}.onnx")(images)
        assert np.abs(found - logits).max() < tolerance * np.abs(logits).max()


OTHER_BACKENDS = [
    ("torch", "tf_saved_model", "tensorflow"),
    ("torch", "litert", "tensorflow"),
    ("jax", "litert", "tensorflow"),
    ("jax", "torch", "torch"),
    ("tensorflow", "torch", "torch"),
]


@slow
@pytest.mark.parametrize(("backend", "format", "by"), OTHER_BACKENDS)
def test_another_backend_converts(export_with, tmp_path, backend, format, by):
    report = export_with(backend, tmp_path / "model", format)
    assert report["backend"] == by
    assert report["note"].startswith(f"the {backend} backend cannot write {format}")
    assert report["relative_difference"] < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
