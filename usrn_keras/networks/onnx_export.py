"""Write ONNX files with each of the three backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.networks.native_export import (
    bands_of,
    dynamic_layers,
    keras_signature,
    rewrite,
    symbolic_shape,
    trace,
)

# The newest opset that all three converters write; supported since onnxruntime 1.14 (2023).
OPSET = 18


def write_onnx(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    """Write one self-contained file with input `images`, output `logits` and named dynamic sizes."""
    import onnx

    convert = {"tensorflow": _from_tensorflow, "jax": _from_jax, "torch": _from_torch}
    proto = convert[keras.backend.backend()](model, path, input_size)
    name_tensors(proto, symbolic_shape(input_size, bands_of(model)))
    drop_empty_scales(proto)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def _from_tensorflow(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> Any:
    import onnx

    traceable = rewrite(model, {} if input_size else dynamic_layers())
    signature = keras_signature(model, input_size)
    traceable.export(path, format="onnx", verbose=False, input_signature=signature, opset_version=OPSET)
    return onnx.load(path)


def _from_jax(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> Any:
    import jax
    import jax2onnx

    from usrn_keras.networks.onnx_jax_rules import onnx_layers

    traceable = rewrite(model, onnx_layers())
    images = jax.ShapeDtypeStruct(symbolic_shape(input_size, bands_of(model)), np.dtype("float32"))
    return jax2onnx.to_onnx(lambda x: traceable(x, training=False), inputs=[images], opset=OPSET)


def _from_torch(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> Any:
    import torch

    exported = torch.onnx.export(trace(model, input_size), dynamo=True, verbose=False, opset_version=OPSET)
    exported.optimize()
    return exported.model_proto


def drop_empty_scales(proto: Any) -> None:
    """Leave out the empty `scales` of every Resize that has `sizes`, as tf2onnx writes them.

    ONNX Runtime takes them as absent only where they are a constant, which the conversion to float16 changes.
    """
    for node in proto.graph.node:
        if node.op_type == "Resize" and len(node.input) == 4 and node.input[3]:
            node.input[1] = node.input[2] = ""


def name_tensors(proto: Any, shape: tuple[str | int, ...]) -> None:
    """Rename the input to `images` and the output to `logits`, and name their dynamic sizes.

    Each converter uses other names (`args_0`, `Identity:0`, `s33`), so without this deployment would depend
    on the backend of the export.
    """
    graph = proto.graph
    (images,), (logits,) = graph.input, graph.output
    names = {images.name: "images", logits.name: "logits"}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (images, logits):
        value.name = names[value.name]
        for axis, size in enumerate(shape[:3]):
            dimension = value.type.tensor_type.shape.dim[axis]
            if isinstance(size, str):
                dimension.dim_param = size
            else:
                dimension.dim_value = size
