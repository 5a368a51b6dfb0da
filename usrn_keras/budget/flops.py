"""Floating-point operations of a forward pass and of a training step.

Counted are the products and sums of convolutions, dense layers and attention, two for each multiply-add. What
is left out (normalisation, activations, pooling, upsampling, losses, the strong view, the optimizer) moves
memory rather than computes: below 2 % of these networks' operations.
"""

from __future__ import annotations

import math

import keras
from keras import layers

from usrn_keras.budget.graph import Call, calls, image_tensor
from usrn_keras.budget.passes import Pass, passes
from usrn_keras.methods import USRN, Supervised
from usrn_keras.networks.point_attention import Gather
from usrn_keras.networks.stock.map_attention import MapAttention

# The gradients of a convolution, by its input and by its kernel, cost a forward pass each.
FORWARD, FORWARD_AND_BACKWARD = 1, 3


def forward_flops(model: keras.Model, height: int, width: int) -> int:
    """Operations of one image's pass through a functional model: 2 for each multiply-add.

    Args:
        model: Functional, with one input `(batch, height, width, channels)`; models within it are counted.
        height, width: Of the image.

    Raises:
        TypeError: The model is not functional, or holds a layer with a kernel that is not known here.

    Example:

    >>> image = keras.Input((None, None, 3))
    >>> model = keras.Model(image, layers.Conv2D(8, 3, padding="same")(image))
    >>> forward_flops(model, 10, 10)  # 2 x 3x3 kernel x 3 channels x 8 filters x 100 pixels
    43200
    """
    found, _ = calls(model, [image_tensor(height, width, model.inputs[0].shape[-1])])
    return sum(call_flops(call) for call in found)


def step_flops(
    model: Supervised | USRN,
    batch_labelled: int,
    batch_unlabelled: int,
    height: int,
    width: int,
) -> dict[str, int]:
    """Operations of a training step: forward once, and backward twice that where there is a gradient.

    The weak view of the unlabelled images has none. A part that both branches share is counted once.

    Args:
        model: The Baseline or USRN.
        batch_labelled, batch_unlabelled: Images; the Baseline uses the labelled ones alone.
        height, width: Of a crop.

    Returns:
        The operations of each pass of images: `labelled`, and of USRN `weak` and `strong`.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> flops = step_flops(Supervised(branch), 2, 0, 64, 64)
    >>> flops["labelled"] == 2 * 3 * forward_flops(branch.segmenter(), 64, 64)
    True
    """
    batches = {"labelled": batch_labelled, "unlabelled": batch_unlabelled}

    def cost(view: Pass) -> int:
        forward = sum(call_flops(call) for call in view.calls)
        return forward * batches[view.images] * (FORWARD_AND_BACKWARD if view.gradient else FORWARD)

    return {view.name: cost(view) for view in passes(model, height, width)}


def call_flops(call: Call) -> int:
    """Operations of one call of a layer on one image.

    Raises:
        TypeError: A layer with a kernel that is not known here.
    """
    layer, outputs = call.layer, call.outputs[0].shape
    if isinstance(layer, layers.SeparableConv2D):
        depthwise = math.prod(outputs[1:3]) * math.prod(layer.depthwise_kernel.shape)
        return 2 * (depthwise + math.prod(outputs[1:3]) * math.prod(layer.pointwise_kernel.shape))
    if isinstance(layer, layers.Conv2DTranspose):  # each input pixel is spread by the whole kernel
        return 2 * math.prod(call.inputs[0].shape[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
        return 2 * math.prod(outputs[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, layers.Dense):
        return 2 * math.prod(outputs[1:-1]) * math.prod(layer.kernel.shape)
    if isinstance(layer, Gather):  # what every pixel gathers from all
        return 2 * math.prod(outputs) * call.inputs[1].shape[-1]
    if isinstance(layer, MapAttention):  # every query by every key, and the values by what comes of it
        return 2 * 2 * math.prod(outputs) * math.prod(call.inputs[1].shape[1:3])
    if any(len(weight.shape) > 1 for weight in layer.trainable_weights):
        raise TypeError(f"the operations of {type(layer).__name__} {layer.name!r} are not known")
    return 0
