"""Write class names and colours into an ONNX file, and optionally the class of each pixel as an output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from usrn_keras.files import atomic_path


def label_onnx(
    path: Path,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    *,
    argmax: bool = False,
    bands: Sequence[str] = (),
) -> None:
    """Add metadata, and optionally an output, to an exported ONNX file.

    The metadata are JSON texts: `classes`, a list of names, `palette`, a list of colours `[red, green,
    blue]`, and `bands`, the names of the channels of the images. ONNX Runtime reads them with
    `session.get_modelmeta().custom_metadata_map`.

    Args:
        path: Path of the file, whose output `logits` is `(batch, height, width, classes)`.
        classes: Name of each class.
        palette: Colour of each class in 0..255.
        argmax: Whether to add the output `classes`, `(batch, height, width)`: the class with the largest
            logit, uint8, or int32 for more than 256 classes. `logits` remains.
        bands: Name of each channel of the images; empty leaves them out.
    """
    import onnx

    proto = onnx.load(path)
    described = {"classes": list(classes), "palette": [list(map(int, colour)) for colour in palette]}
    described |= {"bands": list(bands)} if bands else {}
    onnx.helper.set_model_props(proto, {name: json.dumps(value) for name, value in described.items()})
    if argmax:
        _add_classes(proto, len(classes))
    onnx.checker.check_model(proto)
    with atomic_path(path) as temporary:
        onnx.save(proto, temporary)


def _add_classes(proto: Any, count: int) -> None:
    import onnx

    logits = next(value for value in proto.graph.output if value.name == "logits")
    dtype = onnx.TensorProto.UINT8 if count <= 256 else onnx.TensorProto.INT32
    proto.graph.node.extend(
        [
            onnx.helper.make_node("ArgMax", ["logits"], ["classes_int64"], axis=3, keepdims=0),
            onnx.helper.make_node("Cast", ["classes_int64"], ["classes"], to=dtype),
        ]
    )
    found = onnx.helper.make_tensor_value_info("classes", dtype, [None] * 3)
    for ours, theirs in zip(
        found.type.tensor_type.shape.dim, logits.type.tensor_type.shape.dim[:3], strict=True
    ):
        ours.CopyFrom(theirs)
    proto.graph.output.append(found)
