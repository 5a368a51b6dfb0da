"""Change the output stride of a backbone to 32, 16 or 8, and cut it into a stem and a tail.

Works for every functional Keras graph: the strides are read from its layers, strides of late layers become
dilation, and the graph is cut at positions with a single live tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from usrn_keras.errors import RecipeError
from usrn_keras.networks.backbones import find_backbone
from usrn_keras.networks.pretrained_weights import load_backbone_weights

STRIDED = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
)


def stride_of(layer: keras.Layer) -> int:
    """Factor by which a layer reduces height and width."""
    return layer.strides[0] if isinstance(layer, STRIDED) else 1


def inputs_of(layer: keras.Layer) -> list[keras.KerasTensor]:
    """Input tensors of a layer in a functional graph."""
    return keras.tree.flatten(layer.input)


def output_strides(model: keras.Model) -> dict[str, int]:
    """Compute the stride of the output of each layer relative to the image, by layer name."""
    strides: dict[str, int] = {}
    producer = {id(layer.output): layer.name for layer in model.layers}
    for layer in model.layers:
        incoming = [strides[producer[id(tensor)]] for tensor in inputs_of(layer) if id(tensor) in producer]
        before = incoming[0] if incoming and not isinstance(layer, keras.layers.InputLayer) else 1
        strides[layer.name] = before * stride_of(layer)
    return strides


def cut_layers(model: keras.Model) -> list[keras.Layer]:
    """Find the layers whose output is the only tensor that the rest of the graph needs, in order."""
    last_use: dict[int, float] = {id(tensor): math.inf for tensor in keras.tree.flatten(model.outputs)}
    for index, layer in enumerate(model.layers):
        if not isinstance(layer, keras.layers.InputLayer):
            for tensor in inputs_of(layer):
                last_use[id(tensor)] = max(index, last_use.get(id(tensor), 0))
    cuts, live = [], set()
    for index, layer in enumerate(model.layers):
        live = {tensor for tensor in live if last_use[tensor] > index}
        live.add(id(layer.output))
        if live == {id(layer.output)}:
            cuts.append(layer)
    return cuts


def split(model: keras.Model, layer: keras.Layer) -> tuple[keras.Model, keras.Model]:
    """Cut a model after `layer`. Both parts share its weights, and their composition equals the model."""
    head = keras.Model(model.input, layer.output, name=f"{model.name}_stem")
    tail = keras.Model(layer.output, model.output, name=f"{model.name}_tail")
    return head, tail


CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def with_output_stride(
    model: keras.Model, output_stride: int, *, batch_norm_momentum: float | None = None
) -> keras.Model:
    """Clone a backbone with another stride of its deepest features. The weights are copied.

    Layers beyond this stride get the stride 1, and later convolutions are dilated by the removed factor, so
    that each filter reads the same pixels as in training (atrous convolution, Chen et al., arXiv 1706.05587,
    section 3.1).

    Args:
        model: Functional model of Keras layers with input `(batch, height, width, 3)`.
        output_stride: Stride of the deepest features, a power of two, at least 8.
        batch_norm_momentum: Momentum of every batch normalisation; None keeps it. The default of Keras, 0.99,
            is too slow for runs of a few thousand steps; that of PyTorch is 0.9.

    Raises:
        ValueError: A convolution that must be dilated has an unsupported padding.

    Example:

    >>> backbone = keras.applications.MobileNet(include_top=False, weights=None)
    >>> with_output_stride(backbone, 16)(keras.ops.zeros((1, 64, 64, 3))).shape[1:3]
    (4, 4)
    """
    changes = _plan(model, output_stride)

    def clone(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config() | changes.get(layer.name, {})
        if batch_norm_momentum is not None and isinstance(layer, keras.layers.BatchNormalization):
            config["momentum"] = batch_norm_momentum
        return layer.__class__.from_config(config)

    converted = keras.models.clone_model(model, clone_function=clone)
    converted.set_weights(model.get_weights())
    return converted


def _plan(model: keras.Model, output_stride: int) -> dict[str, dict[str, Any]]:
    """Compute the changes of the configuration of each layer, by layer name."""
    nominal = output_strides(model)
    producer = {id(layer.output): layer for layer in model.layers}
    changes: dict[str, dict[str, Any]] = {}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        before = nominal[layer.name] // stride_of(layer)
        dilation = max(1, before // output_stride)
        loses_stride = stride_of(layer) > 1 and nominal[layer.name] > output_stride
        dilates = isinstance(layer, CONVOLUTIONS) and max(layer.kernel_size) > 1 and dilation > 1
        if loses_stride:
            changes[layer.name] = {"strides": (1, 1)}
        if dilates:
            changes.setdefault(layer.name, {})["dilation_rate"] = (dilation, dilation)
        if (loses_stride or dilates) and layer.padding == "valid":
            changes |= _same_padding(layer, producer[id(inputs_of(layer)[0])], changes[layer.name])
    return changes


def _same_padding(layer: keras.Layer, before: keras.Layer, change: dict[str, Any]) -> dict[str, Any]:
    """Replace an explicit padding layer, as in MobileNet, with padding="same", which adapts to dilation."""
    if isinstance(layer, CONVOLUTIONS) and max(layer.kernel_size) == 1:
        return {}
    if not isinstance(before, keras.layers.ZeroPadding2D):
        raise ValueError(
            f"the output stride of `{layer.name}` cannot be changed: padding='valid' must follow a "
            f"ZeroPadding2D layer, received {before.__class__.__name__}"
        )
    return {before.name: {"padding": 0}, layer.name: change | {"padding": "same"}}


LOW_LEVEL_STRIDE = 4


@dataclass(frozen=True)
class Parts:
    """Parts of a network.

    Attributes:
        stem: Model from images `(batch, height, width, 3)`, RGB in 0..255, to low-level features at stride 4.
        tail: Model from low-level features to the deepest features, or to a list of feature maps that ends
            with them.
        decoder: Function of a name that builds a decoder with random weights, from `[low, *deeper maps]` to
            features at stride 4.
    """

    stem: keras.Model
    tail: keras.Model
    decoder: Callable[[str], keras.Model]


def backbone_parts(
    name: str, *, weights: str, width: float, end: str, output_stride: int, batch_norm_momentum: float
) -> tuple[keras.Model, keras.Model]:
    """Build the stem (with preprocessing) and the tail of a backbone.

    Args:
        name: Name of the backbone, `SUPPLIER/NAME`.
        weights: Pretrained weights: `imagenet`, `none` or the path of a file.
        width: Factor on the number of channels.
        end: Name of the last layer to use; empty for the whole backbone.
        output_stride: Stride of the deepest features.
        batch_norm_momentum: Momentum of every batch normalisation.

    Raises:
        RecipeError: The backbone or the layer is unknown.
        WeightsError: The weights do not fit.
    """
    spec = find_backbone(name)
    model = _truncate(spec.build(width), end, output_stride)
    load_backbone_weights(model, spec, name, weights)
    model = with_output_stride(model, output_stride, batch_norm_momentum=batch_norm_momentum)
    stem, tail = split(model, _low_level_layer(model))
    images = keras.Input((None, None, 3), name="images")
    return keras.Model(images, stem(spec.preprocess()(images)), name="stem"), tail


def _truncate(model: keras.Model, end: str, output_stride: int) -> keras.Model:
    """Truncate a model after a layer, whose original stride must be at least `output_stride`."""
    if not end:
        return model
    strides = output_strides(model)
    names = [layer.name for layer in _cut_points(model) if strides[layer.name] >= output_stride]
    if end not in names:
        raise RecipeError(
            f"network.backbone_end: cannot end at {end!r} with output stride {output_stride}; "
            f"allowed: {', '.join(names)}"
        )
    return keras.Model(model.input, model.get_layer(end).output, name=model.name)


def _low_level_layer(model: keras.Model) -> keras.Layer:
    """Find the last cut point at stride 4: the end of the first stage."""
    strides = output_strides(model)
    return [layer for layer in _cut_points(model) if strides[layer.name] == LOW_LEVEL_STRIDE][-1]


def _cut_points(model: keras.Model) -> list[keras.Layer]:
    """Find the layers after which the graph can be cut, without padding layers, which change the size."""
    return [layer for layer in cut_layers(model) if not isinstance(layer, keras.layers.ZeroPadding2D)]
