"""Run exported models without Keras: SavedModel, LiteRT, ONNX and PyTorch's `.pt2`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np


def run_saved_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Load the exported model as a function of numpy arrays."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.serve(images).numpy()


def run_litert(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Load the exported model as a function of numpy arrays."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    images_index = interpreter.get_input_details()[0]["index"]
    logits_index = interpreter.get_output_details()[0]["index"]

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(images_index, images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(images_index, images)
        interpreter.invoke()
        return interpreter.get_tensor(logits_index)

    return run


def run_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Load the exported model as a function of numpy arrays."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(["logits"], {"images": images})[0]


def run_torch(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Load the exported model as a function of numpy arrays."""
    import torch

    module = torch.export.load(path).module()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    return run
