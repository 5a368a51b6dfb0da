"""A backbone at output stride 32, 16 or 8, cut into the parts that two branches share or do not share.

Any functional Keras graph will do: the strides of its layers are read off the graph, late strides become
dilation, and the graph is cut where exactly one tensor passes.
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
    """The factor by which a layer reduces height and width."""
    return layer.strides[0] if isinstance(layer, STRIDED) else 1


def inputs_of(layer: keras.Layer) -> list[keras.KerasTensor]:
    """The tensors that a layer of a functional graph reads."""
    return keras.tree.flatten(layer.input)


def output_strides(model: keras.Model) -> dict[str, int]:
    """The stride of each layer's output with respect to the image, by layer name."""
    strides: dict[str, int] = {}
    producer = {id(layer.output): layer.name for layer in model.layers}
    for layer in model.layers:
        incoming = [strides[producer[id(tensor)]] for tensor in inputs_of(layer) if id(tensor) in producer]
        before = incoming[0] if incoming and not isinstance(layer, keras.layers.InputLayer) else 1
        strides[layer.name] = before * stride_of(layer)
    return strides


def cut_layers(model: keras.Model) -> list[keras.Layer]:
    """Layers whose output is all that the rest of the graph needs, in order."""
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
    """Cut a model behind `layer`: the parts share its weights and compose to the whole exactly."""
    head = keras.Model(model.input, layer.output, name=f"{model.name}_stem")
    tail = keras.Model(layer.output, model.output, name=f"{model.name}_tail")
    return head, tail


CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def with_output_stride(
    model: keras.Model, output_stride: int, *, batch_norm_momentum: float | None = None
) -> keras.Model:
    """Clone a backbone so that its deepest features have `output_stride`, weights kept.

    Layers that would go beyond it lose their stride, and every later convolution is
    dilated by what was lost, so that each filter still meets the pixels it was trained
    on (atrous convolution, Chen et al., arXiv 1706.05587, section 3.1).

    Args:
        model: Functional model of Keras layers, `(batch, height, width, 3)` in.
        output_stride: A power of two, at least 8.
        batch_norm_momentum: Replaces that of every batch normalisation. Keras' default
            of 0.99 follows too slowly for runs of a few thousand steps; PyTorch's is 0.9.

    Raises:
        ValueError: A convolution that must be dilated pads in a way that is not understood.

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
    """What changes in the configuration of each layer, by layer name."""
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
    """MobileNet pads in a layer of its own and convolves "valid": that padding must follow the dilation."""
    if isinstance(layer, CONVOLUTIONS) and max(layer.kernel_size) == 1:
        return {}
    if not isinstance(before, keras.layers.ZeroPadding2D):
        raise ValueError(
            f"`{layer.name}` convolves with padding='valid' and no ZeroPadding2D before it "
            f"(received {before.__class__.__name__}); its output stride cannot be changed"
        )
    return {before.name: {"padding": 0}, layer.name: change | {"padding": "same"}}


LOW_LEVEL_STRIDE = 4


@dataclass(frozen=True)
class Parts:
    """A network in parts.

    Attributes:
        stem: Images `(batch, height, width, 3)`, RGB in 0..255, to low-level features at stride 4.
        tail: Low-level features to the deepest features, or to a list of maps of which these are the last.
        decoder: Makes a new decoder of this name, with random weights: of `[low, *deeper maps]` to features
            at stride 4.
    """

    stem: keras.Model
    tail: keras.Model
    decoder: Callable[[str], keras.Model]


def backbone_parts(
    name: str, *, weights: str, width: float, end: str, output_stride: int, batch_norm_momentum: float
) -> tuple[keras.Model, keras.Model]:
    """Stem (with preprocessing) and tail of a backbone.

    Args:
        name: `SUPPLIER/NAME`.
        weights: `imagenet`, `none` or a file.
        width: Multiplies the channels.
        end: Name of the last layer to use; empty: all of it.
        output_stride: Of the deepest features.
        batch_norm_momentum: Of every batch normalisation.

    Raises:
        RecipeError: Unknown backbone or layer.
        WeightsError: The weights do not fit.
    """
    spec = find_backbone(name)
    model = _until(spec.build(width), end, output_stride)
    load_backbone_weights(model, spec, name, weights)
    model = with_output_stride(model, output_stride, batch_norm_momentum=batch_norm_momentum)
    stem, tail = split(model, _low_level_layer(model))
    images = keras.Input((None, None, 3), name="images")
    return keras.Model(images, stem(spec.preprocess()(images)), name="stem"), tail


def _until(model: keras.Model, end: str, output_stride: int) -> keras.Model:
    """The model up to a layer, which must be as coarse as `output_stride` before strides become dilation."""
    if not end:
        return model
    strides = output_strides(model)
    names = [layer.name for layer in _cuts(model) if strides[layer.name] >= output_stride]
    if end not in names:
        raise RecipeError(
            f"network.backbone_end: no place to end at {end!r} with output stride {output_stride}; "
            f"allowed: {', '.join(names)}"
        )
    return keras.Model(model.input, model.get_layer(end).output, name=model.name)


def _low_level_layer(model: keras.Model) -> keras.Layer:
    """The last place at stride 4 where the graph can be cut: the end of the first stage."""
    strides = output_strides(model)
    return [layer for layer in _cuts(model) if strides[layer.name] == LOW_LEVEL_STRIDE][-1]


def _cuts(model: keras.Model) -> list[keras.Layer]:
    """Layers that the graph can be cut behind; a padded map is larger than its stride says."""
    return [layer for layer in cut_layers(model) if not isinstance(layer, keras.layers.ZeroPadding2D)]
