"""Reading a functional Keras graph: the stride of every layer and the places it can be cut."""

from __future__ import annotations

import math

import keras

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
