"""Write and run SavedModel (from TensorFlow or JAX) and LiteRT.

SavedModel is for TensorFlow Serving and tf.js, LiteRT (formerly TensorFlow Lite) for mobile and embedded
devices.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from usrn_keras.export.signature import dynamic_layers, keras_signature, rewrite, symbolic_shape


def write_saved_model(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    """Write the folder `path` with the endpoint `serve` and the signature `serving_default`."""
    convert = {"tensorflow": _from_tensorflow, "jax": _from_jax}
    convert[keras.backend.backend()](model, path, input_size)


def _from_tensorflow(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    """Write a SavedModel without `keras.Model.export`, which stores every weight twice (Keras 3.15)."""
    import tensorflow as tf

    traceable = model if input_size else rewrite(model, dynamic_layers())
    images = tf.TensorSpec((None, *(input_size or (None, None)), 3), name="images")
    module = tf.Module()
    module.weights = [variable.value for variable in traceable.variables]
    module.serve = tf.function(
        lambda x: traceable(x, training=False), input_signature=[images], autograph=False
    )
    tf.saved_model.save(module, path, signatures=module.serve)


def _from_jax(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    # Keras would declare height and width as arbitrary, and JAX could not match the shapes of skip
    # connections.
    shape = f"({', '.join(map(str, symbolic_shape(input_size)))})"
    model.export(
        path,
        format="tf_saved_model",
        verbose=False,
        input_signature=keras_signature(input_size),
        jax2tf_kwargs={"native_serialization": True, "polymorphic_shapes": [shape]},
    )


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
