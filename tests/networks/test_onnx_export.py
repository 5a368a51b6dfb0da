from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.networks.onnx_export import drop_empty_scales


def test_a_resize_with_sizes_has_no_scales(tmp_path):
    """As tf2onnx writes it; the copy in float16 must load and compute the same."""
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from usrn_keras.export.smaller_onnx import write_float16

    helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
    nothing = onnx.numpy_helper.from_array(np.zeros(0, "float32"), "nothing")
    sizes = onnx.numpy_helper.from_array(np.array([1, 1, 4, 4]), "sizes")
    node = helper.make_node("Resize", ["images", "nothing", "nothing", "sizes"], ["logits"], mode="linear")
    ends = [
        helper.make_tensor_value_info(name, FLOAT, [1, 1, n, n]) for name, n in (("images", 2), ("logits", 4))
    ]
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:], [nothing, sizes])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    drop_empty_scales(proto)
    assert list(proto.graph.node[0].input) == ["images", "", "", "sizes"]
    onnx.save(proto, tmp_path / "model.onnx")
    write_float16(tmp_path / "model.onnx", tmp_path / "half.onnx")
    image = np.array([[[[0, 1], [2, 3]]]], "float32")
    whole, half = (
        onnxruntime.InferenceSession(tmp_path / name).run(None, {"images": image})[0]
        for name in ("model.onnx", "half.onnx")
    )
    assert whole.shape == (1, 1, 4, 4)
    np.testing.assert_allclose(half, whole, atol=1e-2)
