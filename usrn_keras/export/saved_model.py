"""TensorFlow's SavedModel, for TensorFlow Serving and tf.js, from TensorFlow or JAX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.export.rewrite import dynamic_upsampling, rewrite
from usrn_keras.export.signature import keras_signature, symbolic_shape


def write_saved_model(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    """Write the folder `path` with the endpoint `serve`."""
    options: dict[str, Any] = {}
    if keras.backend.backend() == "jax":
        # Keras would call height and width arbitrary: JAX could not prove that skip connections fit.
        shape = f"({', '.join(map(str, symbolic_shape(input_size)))})"
        options["jax2tf_kwargs"] = {"native_serialization": True, "polymorphic_shapes": [shape]}
    elif input_size is None:
        model = rewrite(model, upsampling=dynamic_upsampling())
    signature = keras_signature(input_size)
    model.export(path, format="tf_saved_model", verbose=False, input_signature=signature, **options)


def run_saved_model(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The exported model as a function of numpy arrays."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda images: loaded.serve(images).numpy()
