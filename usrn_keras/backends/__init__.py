"""What is done differently on each Keras backend: how a graph of layers runs.

The layers stay those of Keras, so a saved network needs nothing of this; it is run faster here.
"""

from __future__ import annotations

import contextlib

import keras

no_gradient = contextlib.nullcontext  # pseudo labels stop the gradient; the compiler prunes the rest

if keras.backend.backend() == "torch":
    from torch import no_grad as no_gradient

    from usrn_keras.backends.graph_torch import run_graph
elif keras.backend.backend() == "tensorflow":
    from usrn_keras.backends.graph_tensorflow import run_graph
else:
    from usrn_keras.backends.graph_jax import run_graph

__all__ = ["no_gradient", "run_graph"]
