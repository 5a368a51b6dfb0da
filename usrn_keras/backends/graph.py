"""Plan and run a functional Keras graph: order of layers, lifetime of results, padding of convolutions."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

NEW_TENSOR_LAYERS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.BatchNormalization,
    keras.layers.Add,
)


@dataclass(frozen=True)
class Step:
    """One layer of a graph.

    Attributes:
        layer: Layer to run.
        inputs: Numbers of the results that the layer reads. Results are numbered in the order of the steps,
            the inputs of the graph first.
        listed: Whether the layer takes its inputs as a list.
        output: Number of the result of the layer.
        free: Numbers of the results that no later step reads.
        in_place: Whether the layer may overwrite its first input: no other layer reads it, and it is a new
            tensor (an inactive dropout, for example, returns its input).
    """

    layer: keras.Layer
    inputs: tuple[int, ...]
    listed: bool
    output: int
    free: tuple[int, ...]
    in_place: bool


@dataclass(frozen=True)
class GraphPlan:
    """Steps of a graph with one output.

    Attributes:
        steps: Steps in order; a nested model is one step.
        inputs: Number of inputs of the graph, whose results have the numbers 0 to `inputs - 1`.
        output: Number of the result that the graph returns.
    """

    steps: tuple[Step, ...]
    inputs: int
    output: int


_PLANS: weakref.WeakKeyDictionary[keras.Layer, GraphPlan | None] = weakref.WeakKeyDictionary()


def plan_of(model: keras.Layer) -> GraphPlan | None:
    """Plan a functional model; the plan is cached.

    In a plain graph every node is a layer called with a tensor or a list of tensors and no other argument,
    and there is one output.

    Args:
        model: Keras model or layer.

    Returns:
        The plan, or None if the model is not a plain graph of layers.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> plan = plan_of(keras.Model(images, keras.layers.ReLU()(images)))
    >>> [(step.inputs, step.output) for step in plan.steps]
    [((0,), 1)]
    """
    if model not in _PLANS:
        _PLANS[model] = _plan(model)
    return _PLANS[model]


def all_layers(model: keras.Layer) -> list[keras.Layer]:
    """List a model and all its layers, nested ones too."""
    return list(model._flatten_layers())


def inner_layers(layer: keras.Layer) -> list[keras.Layer]:
    """List the layers that a layer directly contains, in the order in which it tracks them."""
    return list(layer._flatten_layers(include_self=False, recursive=False))


def _plan(model: keras.Layer) -> GraphPlan | None:
    # The order in which Keras runs a functional graph; the attribute has no public name.
    by_depth = getattr(model, "_nodes_by_depth", None)
    if not by_depth or len(model.outputs) != 1:
        return None
    nodes = [
        node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input
    ]
    if not all(_is_plain(node) for node in nodes):
        return None
    numbers = {id(tensor): number for number, tensor in enumerate(model.inputs)}
    for node in nodes:
        numbers[id(node.output_tensors[0])] = len(numbers)
    reads = [tuple(numbers[id(tensor)] for tensor in node.input_tensors) for node in nodes]
    output = numbers[id(model.outputs[0])]
    last = {number: at for at, numbers_read in enumerate(reads) for number in numbers_read}
    readers = [number for numbers_read in reads for number in numbers_read]
    made = {numbers[id(node.output_tensors[0])] for node in nodes if _returns_new_tensor(node.operation)}
    steps = []
    for at, (node, inputs) in enumerate(zip(nodes, reads, strict=True)):
        first = inputs[0]
        steps.append(
            Step(
                layer=node.operation,
                inputs=inputs,
                listed=isinstance(node.arguments.args[0], (list, tuple)),
                output=numbers[id(node.output_tensors[0])],
                free=tuple({number for number in inputs if last[number] == at and number != output}),
                in_place=first in made and readers.count(first) == 1 and first != output,
            )
        )
    return GraphPlan(tuple(steps), len(model.inputs), output)


def _returns_new_tensor(layer: keras.Layer) -> bool:
    """Whether a layer returns a new tensor that no gradient needs: an activation needs its output."""
    linear = getattr(layer, "activation", keras.activations.linear) is keras.activations.linear
    return linear and isinstance(layer, NEW_TENSOR_LAYERS)


def _is_plain(node: Any) -> bool:
    arguments = node.arguments
    return (
        isinstance(node.operation, keras.Layer)
        and len(node.output_tensors) == 1
        and len(arguments.args) == 1
        # `training=False` is the default of Dropout, and `mask=[None, None]` means no mask.
        and not any(keras.tree.flatten(arguments.kwargs))
        and len(node.input_tensors) >= 1
    )


def run(plan: GraphPlan, inputs: Sequence[Any], operation: Callable[[Step, list[Any]], Any]) -> Any:
    """Run a plan and release each intermediate result after its last use.

    Args:
        plan: Plan of a model.
        inputs: Input tensors of the model.
        operation: Function that computes a step from its input tensors.

    Returns:
        The output of the model.
    """
    results = dict(enumerate(inputs))
    for step in plan.steps:
        result = operation(step, [results[number] for number in step.inputs])
        for number in step.free:
            del results[number]
        results[step.output] = result
    return results[plan.output]


def call_layers(model: keras.Model, inputs: Any, call: Callable[..., Any]) -> Any:
    """Run a functional model with another function in place of each layer call.

    Args:
        model: Functional model.
        inputs: Inputs of the model, tensors or `keras.KerasTensor`.
        call: Function `(layer, *args, **kwargs)` that replaces the call of a layer.

    Returns:
        The output of the model.

    Raises:
        TypeError: The model is not functional.
    """
    if not hasattr(model, "_run_through_graph"):
        raise TypeError(f"`model` must be functional, received the {type(model).__name__} {model.name!r}")
    return model._run_through_graph(inputs, operation_fn=lambda layer: layer, call_fn=call)


def same_padding(pixels: int, taps: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Compute the zeros before and after a side with `padding="same"`.

    Args:
        pixels: Size of the side.
        taps: Size of the kernel.
        stride: Stride of the convolution.
        dilation: Dilation rate of the kernel.

    Example:

    >>> same_padding(8, taps=3, stride=2)
    (0, 1)
    """
    total = max(0, (-(-pixels // stride) - 1) * stride + (taps - 1) * dilation + 1 - pixels)
    return total // 2, total - total // 2


def padding_taps(layer: Any, size: Sequence[int]) -> tuple[int, int]:
    """Count the kernel taps at each end of the height and width that only read padding.

    A tap further from the centre than the size of the map reads zeros at every position: an ASPP with rate
    18 on a map of 8 x 8 equals a 1 x 1 convolution, at a ninth of the cost.

    Args:
        layer: Convolution layer of Keras.
        size: Height and width of the input.

    Returns:
        Number of taps to remove at each end of the height, and of the width.
    """
    if layer.padding != "same" or max(layer.strides) > 1:
        return 0, 0
    return tuple(
        max(0, taps // 2 - (pixels - 1) // dilation) if taps % 2 else 0
        for taps, dilation, pixels in zip(layer.kernel_size, layer.dilation_rate, size, strict=True)
    )
