"""What a pass of images leaves in memory for the way back, and what it needs on the way."""

from __future__ import annotations

import math

import keras
from keras import layers

from usrn_keras.budget.graph import Call
from usrn_keras.budget.passes import Pass
from usrn_keras.networks.point_attention import Gather, PointAttention
from usrn_keras.networks.stock.map_attention import MapAttention

# The gradient of these needs what they read; of those, what they gave.
NEED_INPUT = (
    layers.Conv2D,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
    layers.Dense,
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.MaxPooling2D,
    Gather,
    MapAttention,
)
NEED_OUTPUT = (layers.ReLU, layers.Activation, layers.MaxPooling2D, PointAttention, MapAttention)
MASK_BYTES = 1  # of a dropped or kept element


def kept_bytes(view: Pass) -> int:
    """Bytes that one image leaves behind in the network until its gradient is taken; 0 without one.

    A tensor that several layers need is kept once. ReLU overwrites what it reads, or is computed again, so
    that between two convolutions two tensors are kept: what normalisation reads and what it leaves to ReLU.
    """
    if not view.gradient:
        return 0
    kept: dict[int, int] = {}
    for call in view.calls:
        if isinstance(call.layer, layers.Dropout) and call.layer.rate > 0:
            kept[id(call)] = math.prod(call.outputs[0].shape) * MASK_BYTES
        needed = call.inputs if isinstance(call.layer, NEED_INPUT) else ()
        needed += call.outputs if isinstance(call.layer, NEED_OUTPUT) else ()
        kept |= {id(tensor): tensor_bytes(tensor) for tensor in needed}
    return sum(kept.values())


def work_bytes(view: Pass) -> int:
    """Bytes of the largest layer, what it reads and what it gives: held while its gradient is taken."""
    return max(_call_bytes(call) for call in view.calls)


def logit_bytes(view: Pass) -> int:
    """Bytes of the logits of all branches of one image, as the classifiers give them."""
    return sum(tensor_bytes(part.output) for part in view.parts if part.name == "classifier")


def tensor_bytes(tensor: keras.KerasTensor) -> int:
    """Bytes of a tensor; shapes here have no open dimension."""
    return math.prod(tensor.shape) * (2 if "16" in tensor.dtype else 4)


def _call_bytes(call: Call) -> int:
    return sum(tensor_bytes(tensor) for tensor in (*call.inputs, *call.outputs))
