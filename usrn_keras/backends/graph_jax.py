"""Running a functional Keras graph on JAX, whose compiler does the rest."""

from __future__ import annotations

from typing import Any

import jax
from keras import layers

from usrn_keras.backends import graph_keras
from usrn_keras.backends.depthwise import by_taps

ON_CPU = graph_keras.OPERATIONS | {layers.DepthwiseConv2D: by_taps}


def run_graph(model: Any, inputs: Any, training: bool | None) -> Any:
    """`model(inputs, training=training)`, quicker to trace; see `graph_keras.run_with`."""
    operations = ON_CPU if jax.default_backend() == "cpu" else graph_keras.OPERATIONS
    return graph_keras.run_with(operations, model, inputs, training)
