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
from usrn_keras.networks.backbones import Backbone, find_backbone
from usrn_keras.networks.flat_graph import flat_graph
from usrn_keras.networks.input_bands import with_bands
from usrn_keras.networks.pretrained_weights import load_backbone_weights
from usrn_keras.recipe.bands import RGB, Bands

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
STRIDED = (*CONVOLUTIONS, *POOLS)


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

    Layers with `padding="valid"` and no explicit padding before them, as in Xception, get "same", so that
    sizes stay multiples of the strides; at the borders they then read zeros.

    Raises:
        RecipeError: A layer cannot be converted; the message says which and why.

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
        if not isinstance(layer, STRIDED):
            continue
        before = nominal[layer.name] // stride_of(layer)
        dilation = max(1, before // output_stride)
        loses_stride = stride_of(layer) > 1 and nominal[layer.name] > output_stride
        spread = taps_of(layer) > 1 and dilation > 1
        if spread and isinstance(layer, POOLS):
            raise RecipeError(
                f"network.output_stride: {output_stride} is not possible with {model.name!r}: the layer "
                f"{layer.name!r} pools at stride {before}, and a pooling layer cannot be dilated",
                hint=f"Set network.output_stride = {before}, or end before it with network.backbone_end.",
            )
        change: dict[str, Any] = {"strides": (1, 1)} if loses_stride else {}
        if spread:
            change["dilation_rate"] = (dilation, dilation)
        if layer.padding == "valid" and taps_of(layer) > 1:
            padding = producer.get(id(inputs_of(layer)[0]))
            if not isinstance(padding, keras.layers.ZeroPadding2D):
                if change or taps_of(layer) != stride_of(layer):
                    change["padding"] = "same"
            elif change:  # as in MobileNet: "same" adapts to the dilation
                changes[padding.name] = {"padding": 0}
                change["padding"] = "same"
        if change:
            changes[layer.name] = change
    return changes


def taps_of(layer: keras.Layer) -> int:
    """Side of the window that a convolution or pooling layer reads."""
    return max(layer.pool_size if isinstance(layer, POOLS) else layer.kernel_size)


LOW_LEVEL_STRIDE = 4


@dataclass(frozen=True)
class Parts:
    """Parts of a network.

    Attributes:
        stem: Model from images `(batch, height, width, bands)` in 0..255 to low-level features at stride 4.
        tail: Model from low-level features to the deepest features, or to a list of feature maps that ends
            with them.
        decoder: Function of a name that builds a decoder with random weights, from `[low, *deeper maps]` to
            features at stride 4.
    """

    stem: keras.Model
    tail: keras.Model
    decoder: Callable[[str], keras.Model]


def backbone_parts(
    name: str | keras.Model,
    *,
    weights: str,
    width: float,
    end: str,
    output_stride: int,
    batch_norm_momentum: float,
    bands: Bands | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Build the stem (with preprocessing) and the tail of a backbone.

    Args:
        name: Name of the backbone, `SUPPLIER/NAME`; or a functional model from images `(batch, height, width,
            bands)` in 0..255, which keeps its weights.
        weights: Pretrained weights: `imagenet`, `none` or the path of a file; not read for a model.
        width: Factor on the number of channels; not read for a model.
        end: Name of the last layer to use; empty for the whole backbone.
        output_stride: Stride of the deepest features.
        batch_norm_momentum: Momentum of every batch normalisation.
        bands: Bands of the images; None for red, green and blue, or those of a model.

    Raises:
        RecipeError: The backbone or the layer is unknown, a layer cannot be converted, or a model has other
            bands.
        WeightsError: The weights do not fit.
    """
    if isinstance(name, keras.Model):
        spec, model = Backbone(lambda width: name, scale=1.0), _truncate(flat_graph(name), end, output_stride)
        colours = _colours_of_model(name, bands)
    else:
        colours = (bands or RGB).colours
        spec = find_backbone(name)
        model = _truncate(spec.build(width), end, output_stride)
        load_backbone_weights(model, spec, name, weights)
    flat = flat_graph(model)
    if colours != RGB.colours and not isinstance(name, keras.Model):
        flat = with_bands(flat, colours, pretrained=weights != "none")
    strides = output_strides(flat)
    if max(strides.values()) < output_stride:
        raise RecipeError(
            f"network.backbone: the deepest features of {flat.name!r} have the stride "
            f"{max(strides.values())}, and network.output_stride is {output_stride}",
            hint="Choose a smaller output stride, or a backbone that reduces the size further.",
        )
    model = with_output_stride(flat, output_stride, batch_norm_momentum=batch_norm_momentum)
    stem, tail = split(model, _low_level_layer(model))
    images = keras.Input((None, None, len(colours)), name="images")
    return keras.Model(images, stem(spec.preprocess(colours)(images)), name="stem"), tail


def _colours_of_model(model: keras.Model, bands: Bands | None) -> tuple[int | None, ...]:
    channels = model.inputs[0].shape[-1]
    if bands is not None and bands.count != channels:
        raise RecipeError(
            f"`backbone` {model.name!r} takes {channels} channels, `bands` has {bands.count}, {bands}",
            hint="Build the model for as many channels as there are bands.",
        )
    return RGB.colours if channels == 3 else (None,) * channels


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
    points = _cut_points(model)
    found = [layer for layer in points if strides[layer.name] == LOW_LEVEL_STRIDE]
    if not found:
        there = sorted({strides[layer.name] for layer in points})
        raise RecipeError(
            f"network.backbone: {model.name!r} has no layer at stride {LOW_LEVEL_STRIDE} after which the "
            f"graph has a single tensor; such layers have the strides {', '.join(map(str, there))}",
            hint="The decoder needs low-level features at a quarter of the size of the image.",
        )
    return found[-1]


def _cut_points(model: keras.Model) -> list[keras.Layer]:
    """Find the layers after which the graph can be cut, without padding layers, which change the size."""
    return [layer for layer in cut_layers(model) if not isinstance(layer, keras.layers.ZeroPadding2D)]
