"""Kernels in the order in memory that PyTorch's channels-last convolutions read."""

from __future__ import annotations

from typing import Any

import torch
from keras import layers


def in_native_layout(model: Any) -> None:
    """Reorder the convolution kernels of a model, and what its optimizer keeps of them, in memory.

    Their shapes stay.

    Keras has them as `(height, width, in, out)`. Seen as PyTorch's `(out, in, height, width)` that order
    must be copied at every use, and every gradient copied back.
    """
    optimizer = getattr(model, "optimizer", None)
    for layer in model._flatten_layers():
        if type(layer) in (layers.Conv2D, layers.DepthwiseConv2D):
            _reorder(layer.kernel, layer)
            if layer.kernel.trainable and hasattr(optimizer, "buffers_of"):
                for buffer in optimizer.buffers_of(layer.kernel):
                    _reorder(buffer, layer)


def _reorder(variable: Any, layer: Any) -> None:
    there = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (3, 0, 1, 2)
    back = tuple(there.index(axis) for axis in range(4))
    with torch.no_grad():
        variable.value.data = variable.value.data.permute(there).contiguous().permute(back)
