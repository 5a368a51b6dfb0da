"""Write a network in any export format that the backend has, with free batch, height and width."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras

from usrn_keras.errors import BackendError
from usrn_keras.networks.native_export import write_litert, write_saved_model, write_torch
from usrn_keras.networks.onnx_export import write_onnx

Size = tuple[int, int] | None


class Writer(NamedTuple):
    """A function that writes a format.

    Attributes:
        write: Function `write(model, path, input_size)`.
        packages: Required packages by backend.
    """

    write: Callable[[keras.Model, Path, Size], None]
    packages: dict[str, tuple[str, ...]]


WRITERS = {
    "torch": Writer(write_torch, {"torch": ("torch",)}),
    "tf_saved_model": Writer(
        write_saved_model, {"tensorflow": ("tensorflow",), "jax": ("jax", "tensorflow")}
    ),
    "onnx": Writer(
        write_onnx,
        {
            "torch": ("torch", "onnx", "onnxscript", "onnxruntime"),
            "tensorflow": ("tensorflow", "onnx", "tf2onnx", "onnxruntime"),
            "jax": ("jax", "onnx", "jax2onnx", "onnxruntime"),
        },
    ),
    "litert": Writer(write_litert, {"tensorflow": ("tensorflow", "ai_edge_litert")}),
}


def export_network(model: keras.Model, path: Path, format: str | None = None, **kwargs: Any) -> None:
    """Write a model for deployment.

    Args:
        model: Functional model of images `(batch, height, width, bands)` in 0..255.
        path: Path of the file, or of the folder of a SavedModel.
        format: `torch`, `tf_saved_model`, `onnx`, `litert` or `openvino`; None for the native format of the
            backend.
        **kwargs: Arguments of `keras.Model.export`; with any but `verbose`, Keras' own exporter is used.

    Raises:
        BackendError: The backend cannot write the format, or a package is missing.
    """
    backend = keras.backend.backend()
    name = format or ("torch" if backend == "torch" else "tf_saved_model")
    if name not in WRITERS or kwargs.keys() - {"verbose"}:
        model.export(str(path), format=name, **kwargs)
        return
    packages = WRITERS[name].packages
    if backend not in packages:
        raise BackendError(
            f"the {backend} backend cannot write {name}; allowed: "
            f"{', '.join(one for one, writer in WRITERS.items() if backend in writer.packages)}",
            hint=f"Run with KERAS_BACKEND={' or '.join(packages)}, or call usrn_keras.export.export_model("
            f"model.inference_network.segmenter(), path, format={name!r}), which converts in a subprocess.",
        )
    if missing := [one for one in packages[backend] if importlib.util.find_spec(one) is None]:
        raise BackendError(
            f"export to {name} with the {backend} backend needs the missing packages {', '.join(missing)}",
            hint="Install them: pip install 'usrn-keras[export]'",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # converters warn of their own internals
        WRITERS[name].write(model, path, None)
