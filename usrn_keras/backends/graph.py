"""How a functional Keras graph runs: the order of its layers, when each result is last needed, and the
padding and the kernel taps that a convolution needs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

MAKES_A_TENSOR = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.BatchNormalization,
    keras.layers.Add,
)


@dataclass(frozen=True)
class Step:
    """One layer of a graph.

    Attributes:
        layer: What runs.
        inputs: Numbers of the results it reads; results are numbered as they come, graph inputs first.
        listed: Whether it takes them as a list.
        output: Number of its own result.
        free: Results that nothing needs after it.
        own: Whether it may overwrite its first input: nothing else reads that, and its tensor is surely its
            own (a dropout that drops nothing gives the tensor it was given).
    """

    layer: keras.Layer
    inputs: tuple[int, ...]
    listed: bool
    output: int
    free: tuple[int, ...]
    own: bool


@dataclass(frozen=True)
class Plan:
    """How to run a graph of one output.

    Attributes:
        steps: The layers, in order; a nested model is one layer.
        inputs: How many inputs the graph has: results 0 to `inputs - 1`.
        output: Number of the result that is the graph's.
    """

    steps: tuple[Step, ...]
    inputs: int
    output: int


_PLANS: weakref.WeakKeyDictionary[keras.Layer, Plan | None] = weakref.WeakKeyDictionary()


def plan_of(model: keras.Layer) -> Plan | None:
    """The plan of a functional model, made once; None for anything that is no plain graph of layers.

    In a plain graph every node is a layer that was called with a tensor or a list of tensors and nothing
    else, and there is one output.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> plan = plan_of(keras.Model(images, keras.layers.ReLU()(images)))
    >>> [(step.inputs, step.output) for step in plan.steps]
    [((0,), 1)]
    """
    if model not in _PLANS:
        _PLANS[model] = _plan(model)
    return _PLANS[model]


def _plan(model: keras.Layer) -> Plan | None:
    # Keras' own order of a functional graph; the attribute has no public name.
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
    made = {numbers[id(node.output_tensors[0])] for node in nodes if _makes_a_tensor(node.operation)}
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
                own=first in made and readers.count(first) == 1 and first != output,
            )
        )
    return Plan(tuple(steps), len(model.inputs), output)


def _makes_a_tensor(layer: keras.Layer) -> bool:
    """Whether a layer's result is its own, and no gradient needs it: an activation keeps what it gives."""
    linear = getattr(layer, "activation", keras.activations.linear) is keras.activations.linear
    return linear and isinstance(layer, MAKES_A_TENSOR)


def _is_plain(node: Any) -> bool:
    arguments = node.arguments
    return (
        isinstance(node.operation, keras.Layer)
        and len(node.output_tensors) == 1
        and len(arguments.args) == 1
        # `training=False` is Dropout's default and no wish; `mask=[None, None]` is no mask.
        and not any(keras.tree.flatten(arguments.kwargs))
        and len(node.input_tensors) >= 1
    )


def run(plan: Plan, inputs: Sequence[Any], operation: Callable[[Step, list[Any]], Any]) -> Any:
    """The result of a plan; each other result is forgotten as soon as nothing needs it.

    Args:
        plan: Of a model.
        inputs: Of the model.
        operation: Computes a step from the results that it reads.
    """
    results = dict(enumerate(inputs))
    for step in plan.steps:
        result = operation(step, [results[number] for number in step.inputs])
        for number in step.free:
            del results[number]
        results[step.output] = result
    return results[plan.output]


def same_padding(pixels: int, taps: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after a side with `padding="same"`.

    Example:

    >>> same_padding(8, taps=3, stride=2)
    (0, 1)
    """
    total = max(0, (-(-pixels // stride) - 1) * stride + (taps - 1) * dilation + 1 - pixels)
    return total // 2, total - total // 2


def dead_taps(layer: Any, size: Sequence[int]) -> tuple[int, int]:
    """Taps at either end of a kernel's height and width that meet nothing but padding on a map of `size`.

    A tap further from the centre than the map is wide sees zeros alone, wherever the kernel stands: an
    ASPP with rate 18 on a map of 8 x 8 is a convolution of 1 x 1, and costs a ninth of what it seems to.

    Args:
        layer: A convolution of Keras.
        size: Height and width of its input.
    """
    if layer.padding != "same" or max(layer.strides) > 1:
        return 0, 0
    return tuple(
        max(0, taps // 2 - (pixels - 1) // dilation) if taps % 2 else 0
        for taps, dilation, pixels in zip(layer.kernel_size, layer.dilation_rate, size, strict=True)
    )
