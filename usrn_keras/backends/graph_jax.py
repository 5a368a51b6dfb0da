"""Running a functional Keras graph on JAX, whose compiler does the rest."""

from __future__ import annotations

from typing import Any

from usrn_keras.backends import graph_keras


def run_graph(model: Any, inputs: Any, training: bool | None) -> Any:
    """`model(inputs, training=training)`, quicker to trace; see `graph_keras.run_with`."""
    return graph_keras.run_with(graph_keras.OPERATIONS, model, inputs, training)
