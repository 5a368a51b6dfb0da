from __future__ import annotations

import json
from types import SimpleNamespace

import keras
import numpy as np
import onnx
import pytest

from tests.export.test_onnx_labels import write_identity
from usrn_keras.errors import ExportError, RunError
from usrn_keras.export import run_export as module
from usrn_keras.export.run_export import ExportReport, export_run
from usrn_keras.recipe import load_recipe


@pytest.fixture
def run_dir(tmp_path, network, monkeypatch):
    """A run folder whose model is not converted."""
    network.save(tmp_path / "model.keras")
    run = SimpleNamespace(
        model_path=tmp_path / "model.keras",
        recipe=load_recipe("quickstart", ["evaluation.flip=true"]),
        classes=("road", "sky"),
        palette=np.array([[128, 64, 128], [70, 130, 180]], "uint8"),
    )

    def export_model(model, path, *, format, input_size, finish):
        assert isinstance(model, keras.Model)
        path.parent.mkdir(exist_ok=True)
        path.write_text(format)
        if format == "onnx":
            write_identity(path, 2)
        finish(path)
        return ExportReport(format, str(path), 1, "", 0.0, 0.0, 1.0, 0.0, "torch")

    monkeypatch.setattr(module, "open_run", lambda path: run)
    monkeypatch.setattr(module, "export_model", export_model)
    return tmp_path


def test_default_place_and_labels(run_dir):
    report = export_run(run_dir, "onnx")
    assert report.path == str(run_dir / "export" / "model.onnx")
    assert report.labels == str(run_dir / "export" / "model.onnx.labels.json")
    assert f"classes, colours, padding: {report.labels}" in str(report)
    labels = json.loads((run_dir / "export" / "model.onnx.labels.json").read_text())
    assert labels["classes"] == ["road", "sky"]
    assert labels["palette"] == [[128, 64, 128], [70, 130, 180]]
    assert labels["input"]["size_multiple"] == 32
    assert labels["input"]["signature"] == "float32 (batch, 32*height, 32*width, 3)"
    assert "RGB, 0..255" in labels["input"]["preprocessing"]
    assert labels["output"]["name"] == "logits" and labels["measured"]["mode"] == "whole + flip"
    assert labels["input"]["sides"][:2] == [32, 64]


def test_onnx_has_the_classes_as_metadata(run_dir):
    export_run(run_dir, "onnx", argmax=True)
    proto = onnx.load(run_dir / "export" / "model.onnx")
    assert json.loads(proto.metadata_props[0].value) == ["road", "sky"]
    assert [one.name for one in proto.graph.output] == ["logits", "classes"]
    with pytest.raises(ExportError, match="classes as an output are for onnx alone, received the format 'to"):
        export_run(run_dir, "torch", argmax=True)


def test_chosen_place_and_size(run_dir):
    (run_dir / "phone").mkdir()
    (run_dir / "phone/labels.json").write_text("mine")
    export_run(str(run_dir), "litert", run_dir / "phone" / "a.tflite", input_size=(64, 96))
    assert (run_dir / "phone/labels.json").read_text() == "mine"
    labels = json.loads((run_dir / "phone" / "a.tflite.labels.json").read_text())
    assert labels["input"]["signature"] == "float32 (batch, 64, 96, 3)"


def test_no_labels_without_a_model(run_dir, monkeypatch):
    def fail(*args, **kwargs):
        raise ExportError("no")

    monkeypatch.setattr(module, "export_model", fail)
    with pytest.raises(ExportError):
        export_run(run_dir, "onnx")
    assert not (run_dir / "export").exists()


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        export_run(tmp_path, "onnx")


def test_unknown_format_comes_first(tmp_path):
    with pytest.raises(ExportError, match="unknown export format"):
        export_run(tmp_path, "tflite")


def test_bands_are_in_the_labels_the_metadata_and_the_report(run_dir, monkeypatch):
    bands = 'data.bands=["red=3", "green=2", "blue=1", "nir=4"]'
    run = module.open_run(run_dir)
    run.recipe = load_recipe("quickstart", [bands])
    report = export_run(run_dir, "onnx")
    labels = json.loads((run_dir / "export" / "model.onnx.labels.json").read_text())
    assert labels["input"]["signature"] == "float32 (batch, 32*height, 32*width, 4)"
    assert labels["input"]["bands"] == ["red", "green", "blue", "nir"]
    assert labels["input"]["preprocessing"].startswith("none: bands red, green, blue, nir, 0..255")
    metadata = {one.key: one.value for one in onnx.load(run_dir / "export" / "model.onnx").metadata_props}
    assert json.loads(metadata["bands"]) == ["red", "green", "blue", "nir"]
    assert "bands red, green, blue, nir in 0..255" in str(report)
