"""What `export_model` promises, with a format that needs no converter."""

from __future__ import annotations

import dataclasses
import json

import keras
import pytest

from usrn_keras.errors import BackendError, ExportError
from usrn_keras.export import FORMATS, export_model


@pytest.fixture
def model():
    images = keras.Input((None, None, 3), name="images")
    return keras.Model(images, keras.layers.Conv2D(4, 1)(images))


@pytest.fixture
def fake(monkeypatch, model):
    """Replace the ONNX writer and runtime; returns a function that sets them."""

    def compute(images):
        return keras.ops.convert_to_numpy(model(images))

    def fake(write=lambda model, path, input_size: path.write_text("graph"), run=compute):
        packages = {keras.backend.backend(): ("keras",)}
        target = dataclasses.replace(FORMATS["onnx"], packages=packages, write=write, run=lambda path: run)
        monkeypatch.setitem(FORMATS, "onnx", target)

    fake()
    return fake


def test_report(fake, model, tmp_path):
    report = export_model(model, tmp_path / "model.onnx", format="onnx")
    assert (tmp_path / "model.onnx").read_text() == "graph"
    assert report.bytes == 5
    assert report.argmax_agreement == 1
    assert report.backend == keras.backend.backend()
    assert report.input_signature == "float32 (batch, 32*height, 32*width, 3)"
    assert json.loads(json.dumps(report.to_json()))["path"] == str(tmp_path / "model.onnx")
    assert "100.000% of the pixels" in str(report)


def test_a_model_is_finished_before_it_is_there(fake, model, tmp_path):
    target = tmp_path / "model.onnx"

    def finish(written):
        assert not target.exists() and written.read_text() == "graph"
        written.write_text("graph and classes")

    assert export_model(model, target, format="onnx", finish=finish).bytes == 17
    assert target.read_text() == "graph and classes"


def test_a_result_that_does_not_agree_is_removed(fake, model, tmp_path):
    fake(run=lambda images: keras.ops.convert_to_numpy(model(images)) * 2)
    with pytest.raises(ExportError, match="differs from the Keras model"):
        export_model(model, tmp_path / "export" / "model.onnx", format="onnx")
    assert list(tmp_path.iterdir()) == []


def test_tolerance_is_the_callers(fake, model, tmp_path):
    fake(run=lambda images: keras.ops.convert_to_numpy(model(images)) * 1.01)
    report = export_model(model, tmp_path / "model.onnx", format="onnx", tolerance=0.02)
    assert report.relative_difference == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(("input_size", "hint"), [(None, "512x512"), ((64, 64), "another backend")])
def test_what_a_converter_raises_becomes_an_error_with_a_next_step(fake, model, tmp_path, input_size, hint):
    def write(model, path, input_size):
        path.write_text("half")
        raise NotImplementedError("no such\n  operation")

    fake(write=write)
    with pytest.raises(ExportError, match="NotImplementedError: no such operation") as caught:
        export_model(model, tmp_path / "model.onnx", format="onnx", input_size=input_size)
    assert hint in caught.value.hint
    assert isinstance(caught.value.__cause__, NotImplementedError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("input_size", [(500, 512), (512, 500), (0, 32), (-32, 32)])
def test_sizes_must_be_multiples_of_32(fake, model, tmp_path, input_size):
    with pytest.raises(ExportError, match="multiples of 32"):
        export_model(model, tmp_path / "model.onnx", format="onnx", input_size=input_size)


def test_unknown_format_lists_the_known(model, tmp_path):
    with pytest.raises(ExportError, match=r"'tflite'.*onnx, tf_saved_model, litert, torch"):
        export_model(model, tmp_path / "model", format="tflite")


def test_missing_packages_name_the_extra(model, tmp_path, monkeypatch):
    packages = {keras.backend.backend(): ("keras", "no_such_converter", "nor_this_one")}
    monkeypatch.setitem(FORMATS, "onnx", dataclasses.replace(FORMATS["onnx"], packages=packages))
    with pytest.raises(BackendError, match="no_such_converter, nor_this_one") as caught:
        export_model(model, tmp_path / "model.onnx", format="onnx")
    assert "pip install 'usrn-keras[export]'" in caught.value.hint


def test_no_capable_backend_names_the_way(model, tmp_path, monkeypatch):
    packages = {"no_such_backend": ("no_such_backend",)}
    monkeypatch.setitem(FORMATS, "onnx", dataclasses.replace(FORMATS["onnx"], packages=packages))
    with pytest.raises(ExportError, match="no backend that can is installed") as caught:
        export_model(model, tmp_path / "model.onnx", format="onnx")
    assert "KERAS_BACKEND=no_such_backend" in caught.value.hint
