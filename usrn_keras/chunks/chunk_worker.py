"""In a worker process: compute one chunk, with the backend of the command that asks for it."""

from __future__ import annotations

import importlib
import os
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usrn_keras._version import __version__
from usrn_keras.errors import BackendError

_one_at_a_time = threading.Lock()  # a backend has one set of kernels and threads


@dataclass(frozen=True)
class Order:
    """A chunk to compute.

    Args:
        target: Function as `module:function`, called with `common` and `items`, that returns bytes.
        common: What all chunks share.
        items: Items of this chunk; their classes must be importable without a backend.
        backend: Keras backend of the command; None if the function needs no Keras.
        version: Version of this package of the command.
    """

    target: str
    common: Mapping[str, Any]
    items: Sequence[Any]
    backend: str | None
    version: str = __version__


def compute(order: Order) -> bytes:
    """Compute a chunk.

    Args:
        order: The chunk.

    Returns:
        What its function returns.

    Raises:
        BackendError: This process has another version of this package, or another backend.
        USRNError: As the function raises.
    """
    with _one_at_a_time:
        _prepare(order)
        module, _, function = order.target.partition(":")
        return getattr(importlib.import_module(module), function)(order.common, order.items)


def _prepare(order: Order) -> None:
    where = f"the worker process {os.getpid()} on {socket.gethostname()}"
    if order.version != __version__:
        raise BackendError(
            f"{where} has usrn-keras {__version__}, this command {order.version}",
            hint="Install the same version for all workers of the scheduler.",
        )
    if order.backend is None:
        return
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = order.backend
        from usrn_keras.backends import prepare_backend

        prepare_backend()
    import keras

    if keras.backend.backend() != order.backend:
        raise BackendError(
            f"{where} has loaded Keras on {keras.backend.backend()}, this command asks for {order.backend}",
            hint="Restart the workers of the scheduler, or choose their backend with KERAS_BACKEND.",
        )
