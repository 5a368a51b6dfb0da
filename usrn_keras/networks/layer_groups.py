"""Layers in the order of their graph, and groups of them by depth, for layer-wise learning rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras

from usrn_keras.backends.graph import inner_layers

GROUPS = 12


def leaf_layers(model: keras.Layer) -> Iterator[keras.Layer]:
    """List the layers of a model in the order of its graph, with those of nested models in their place.

    A layer made of layers, such as a transformer, comes before them.
    """
    if not isinstance(model, keras.Model):
        yield model
    for layer in model.layers if isinstance(model, keras.Model) else inner_layers(model):
        yield from leaf_layers(layer)


def own_variables(layer: keras.Layer) -> list[keras.Variable]:
    """List the variables of a layer without those of the layers in it."""
    inner = {id(variable) for one in inner_layers(layer) for variable in one.variables}
    return [variable for variable in layer.variables if id(variable) not in inner]


def groups_by_depth(parts: Sequence[keras.Model], groups: int = GROUPS) -> list[list[keras.Variable]]:
    """Group the trainable variables of consecutive parts by the depth of their layers.

    The layers with a kernel, in the order of the graph, form groups of equal number, as the blocks of
    ConvNeXt and BEiT do in their fine-tuning. Layers without a kernel, such as batch normalisation, are in
    the group of the layer before them. A deeper network has more layers in a group and not more groups, so
    that a decay rate means the same for every backbone.

    Args:
        parts: Models, each of which takes the output of the one before.
        groups: Number of groups.

    Returns:
        Variables of each group, the deepest group first. A group may be empty.

    Example:

    >>> x = images = keras.Input((None, None, 3))
    >>> for _ in range(4):
    ...     x = keras.layers.Conv2D(1, 1)(x)
    >>> [len(group) for group in groups_by_depth([keras.Model(images, x)], groups=2)]
    [4, 4]
    """
    found: list[list[keras.Variable]] = []  # of each layer with a kernel, and of those after it
    for layer in (layer for part in parts for layer in leaf_layers(part)):
        own = own_variables(layer)
        if any(len(variable.shape) > 1 for variable in own):
            found.append([])
        if trained := [variable for variable in own if variable.trainable and layer.trainable]:
            found = found or [[]]
            found[-1] += trained
    result: list[list[keras.Variable]] = [[] for _ in range(groups)]
    for above, variables in enumerate(reversed(found)):
        result[above * groups // len(found)] += variables
    return result
