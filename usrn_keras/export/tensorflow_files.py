"""Run SavedModel, write and run LiteRT.

SavedModel is for TensorFlow Serving and tf.js, LiteRT (formerly TensorFlow Lite) for telephones and small
devices.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from usrn_keras.networks.native_export import dynamic_layers, keras_signature, rewrite


def run_saved_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Load the exported model as a function of numpy arrays."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.serve(images).numpy()


def write_litert(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    """Write a float32 flat buffer with LiteRT's built-in operations."""
    traceable = model if input_size else rewrite(model, dynamic_layers())
    traceable.export(path, format="litert", verbose=False, input_signature=keras_signature(input_size))


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
