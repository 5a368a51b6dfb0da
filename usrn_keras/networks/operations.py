"""Count the floating-point operations of a forward pass and of a training step without running them.

The count includes convolutions, dense layers and attention, with two operations per multiply-add. It excludes
normalisation, activations, pooling, upsampling, losses, the strong view and the optimizer, which are limited
by memory bandwidth and have less than 2 % of the operations of these networks. What else a method computes is
in its `other_flops`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import layers

from usrn_keras.backends.graph import call_layers
from usrn_keras.networks.branch import Branch
from usrn_keras.networks.decoders.psanet import Gather
from usrn_keras.networks.hub_features import HubFeatures

HEADS = ("decoder", "classifier")
PARTS = ("stem", "tail", *HEADS)
# The gradients of a convolution by its input and by its kernel each cost as much as the forward pass.
FORWARD, FORWARD_AND_BACKWARD = 1, 3


class LayerCall(NamedTuple):
    """One call of a layer on one image; the tensors are symbolic, `(1, ...)`."""

    layer: keras.Layer
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]


class PartPass(NamedTuple):
    """The pass of one image of a view through one part of a network.

    Attributes:
        view: Name of the view, such as `labelled`, `weak` or `strong`.
        images: Batch that the view belongs to: `labelled`, `unlabelled` or `both`.
        network: Index in `method.networks`.
        part: `stem`, `tail`, `decoder` or `classifier`.
        branch: `F`, `F_sub`, or `both` for a part that the two branches share.
        shape: Shape of the output, `(height, width, channels)`; that of the deepest map if there are several.
        operations: Number of operations of the forward pass, and of the backward pass if there is a gradient,
            for all views that pass as one batch.
    """

    view: str
    images: str
    network: int
    part: str
    branch: str
    shape: tuple[int, ...]
    operations: int


def forward_flops(model: keras.Model, height: int, width: int) -> int:
    """Count the operations of the pass of one image through a functional model.

    Args:
        model: Functional model with one input `(batch, height, width, channels)`. Nested models are included.
        height, width: Size of the image in pixels.

    Raises:
        TypeError: The model is not functional, or has a layer with a kernel of an unknown type.

    Example:

    >>> image = keras.Input((None, None, 3))
    >>> model = keras.Model(image, layers.Conv2D(8, 3, padding="same")(image))
    >>> forward_flops(model, 10, 10)  # 2 x 3x3 kernel x 3 channels x 8 filters x 100 pixels
    43200
    """
    calls, _ = layer_calls(model, [_image(height, width, model.inputs[0].shape[-1])])
    return sum(map(call_flops, calls))


def step_flops(
    method: keras.Model,
    batch_labelled: int,
    batch_unlabelled: int,
    height: int,
    width: int,
    parts: Sequence[str] = PARTS,
) -> dict[str, int]:
    """Count the operations of a training step. A backward pass costs two forward passes.

    A part that both branches of a network share is counted once per view.

    Args:
        method: Method, whose `networks`, `forward_passes` and `other_flops` are read.
        batch_labelled, batch_unlabelled: Number of images in a batch.
        height, width: Size of a crop in pixels.
        parts: Parts of the networks that a step runs: `HEADS` if the features of the backbone are kept.

    Returns:
        Number of operations by view, such as `labelled`, `weak` and `strong`.
    """
    batches = {"labelled": batch_labelled, "unlabelled": batch_unlabelled}
    batches["both"] = batch_labelled + batch_unlabelled
    found: dict[str, int] = {}
    for one in (one for one in part_passes(method, height, width) if one.part in parts):
        found[one.view] = found.get(one.view, 0) + batches[one.images] * one.operations
    return found | method.other_flops(batch_labelled, batch_unlabelled, height, width)


def part_passes(method: keras.Model, height: int, width: int) -> list[PartPass]:
    """List every part that one image of each view passes, in order, without computing anything.

    Args:
        method: Method, whose `networks` and `forward_passes` are read.
        height, width: Size of a crop in pixels.
    """
    found = []
    for one in method.forward_passes:
        network = method.networks[one.network]
        branches = {name: getattr(network, name) for name in one.heads}
        for part, branch, shape, forward, trained in _parts(branches, height, width, pooled=one.pooled):
            times = FORWARD_AND_BACKWARD if one.gradient and trained else FORWARD
            twice = 2 if one.perturbed and part in ("decoder", "classifier") else 1
            operations = one.views * times * twice * forward
            found.append(PartPass(one.view, one.images, one.network, part, branch, shape, operations))
    return found


def layer_calls(
    model: keras.Model, inputs: Sequence[keras.KerasTensor]
) -> tuple[list[LayerCall], list[keras.KerasTensor]]:
    """List every layer call of a functional model and of its nested models, without computing anything.

    Args:
        model: Functional model.
        inputs: Symbolic input tensors.

    Returns:
        The calls in the order of the graph, and the outputs of the model.

    Raises:
        TypeError: The model or a nested model is not functional.
    """
    calls: list[LayerCall] = []
    return calls, keras.tree.flatten(_run(model, list(inputs), calls))


def call_flops(call: LayerCall) -> int:
    """Count the operations of one layer call on one image.

    Args:
        call: Call of the layer.

    Raises:
        TypeError: The layer has a kernel and an unknown type.
    """
    layer, outputs = call.layer, call.outputs[0].shape
    pixels = math.prod(outputs[1:-1])
    if isinstance(layer, layers.SeparableConv2D):
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        return 2 * pixels * sum(math.prod(kernel.shape) for kernel in kernels)
    if isinstance(layer, layers.Conv2DTranspose):  # each input pixel is multiplied by the whole kernel
        return 2 * math.prod(call.inputs[0].shape[1:3]) * math.prod(layer.kernel.shape)
    if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
        return 2 * pixels * math.prod(layer.kernel.shape)
    if isinstance(layer, Gather):  # every pixel is a weighted sum over all pixels
        return 2 * math.prod(outputs) * call.inputs[1].shape[-1]
    if isinstance(layer, HubFeatures):
        return layer.flops(*call.inputs[0].shape[1:3])
    if any(len(weight.shape) > 1 for weight in layer.trainable_weights):
        raise TypeError(f"cannot count the operations of {type(layer).__name__} {layer.name!r}")
    return 0


def _parts(
    branches: dict[str, Branch], height: int, width: int, *, pooled: bool
) -> list[tuple[str, str, tuple[int, ...], int, bool]]:
    """List the name, branch, output shape and forward operations of each part, and whether it is trained.

    Shared parts appear once.
    """
    known: dict[int, tuple[list, list]] = {}
    trained: dict[int, bool] = {}
    users: dict[tuple[str, int], list[str]] = {}

    def apply(part: str, name: str, *inputs: keras.KerasTensor) -> list[keras.KerasTensor]:
        model = getattr(branches[name], part)
        if id(model) not in known:
            known[id(model)] = layer_calls(model, inputs)
            trained[id(model)] = model.trainable
        users.setdefault((part, id(model)), []).append(name)
        return known[id(model)][1]

    for name in branches:
        (low,) = apply("stem", name, _image(height, width, branches[name].bands))
        high = apply("tail", name, low)
        (features,) = apply("decoder", name, low, *high)
        if pooled:  # 2x2, between decoder and classifier
            _, rows, columns, channels = features.shape
            features = keras.KerasTensor((1, rows // 2, columns // 2, channels), features.dtype)
        apply("classifier", name, features)
    rows = []
    for (part, model), names in sorted(users.items(), key=lambda item: PARTS.index(item[0][0])):
        calls, outputs = known[model]
        branch = "both" if len(names) > 1 else names[0]
        operations = sum(map(call_flops, calls))
        rows.append((part, branch, tuple(outputs[-1].shape[1:]), operations, trained[model]))
    return rows


def _image(height: int, width: int, channels: int) -> keras.KerasTensor:
    return keras.KerasTensor((1, height, width, channels), "float32")


def _run(model: keras.Model, inputs: Any, calls: list[LayerCall]) -> Any:
    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            return _run(layer, args[0], calls)
        outputs = layer.compute_output_spec(*args, **kwargs)
        calls.append(LayerCall(layer, _tensors((args, kwargs)), _tensors(outputs)))
        return outputs

    return call_layers(model, inputs, call)


def _tensors(structure: Any) -> tuple[keras.KerasTensor, ...]:
    flat = keras.tree.flatten(structure)
    return tuple(tensor for tensor in flat if isinstance(tensor, keras.KerasTensor))
