"""An ONNX file knows its classes and colours, and can answer with classes in place of logits."""

from __future__ import annotations

import json

import numpy as np
import pytest

from usrn_keras.export.onnx_labels import label_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def write_identity(path, classes: int) -> None:
    """A file whose logits are its images."""
    helper, shape = onnx.helper, ["batch", "32*height", "32*width", classes]
    images, logits = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("images", "logits")
    )
    node = helper.make_node("Identity", ["images"], ["logits"])
    graph = helper.make_graph([node], "identity", [images], [logits])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


@pytest.mark.parametrize(("classes", "dtype"), [(3, np.uint8), (300, np.int32)])
def test_metadata_and_classes(tmp_path, classes, dtype):
    path = tmp_path / "model.onnx"
    write_identity(path, classes)
    names = [f"class {number}" for number in range(classes)]
    colours = np.arange(3 * classes).reshape(classes, 3) % 256
    label_onnx(path, names, colours, argmax=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == names and json.loads(facts["palette"]) == colours.tolist()
    assert [one.name for one in session.get_outputs()] == ["logits", "classes"]
    assert session.get_outputs()[1].shape == ["batch", "32*height", "32*width"]
    images = np.random.default_rng(0).normal(size=(2, 32, 64, classes)).astype("float32")
    logits, found = session.run(["logits", "classes"], {"images": images})
    np.testing.assert_array_equal(logits, images)
    np.testing.assert_array_equal(found, images.argmax(-1))
    assert found.dtype == dtype


def test_without_classes_the_outputs_stay(tmp_path):
    write_identity(tmp_path / "model.onnx", 2)
    label_onnx(tmp_path / "model.onnx", ["a", "b"], [[0, 0, 0], [255, 255, 255]])
    proto = onnx.load(tmp_path / "model.onnx")
    assert [one.name for one in proto.graph.output] == ["logits"]
