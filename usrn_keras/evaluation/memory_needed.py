"""How much memory the prediction of an image needs, from its size alone, before it is read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from usrn_keras.backends import available_gpu_memory, on_accelerator
from usrn_keras.backends.graph import GraphPlan, plan_of
from usrn_keras.errors import OutOfMemoryError
from usrn_keras.evaluation.predictor import Predictor
from usrn_keras.machine import available_memory

PROBE = 256  # side of the image that the feature maps are counted on
ALWAYS_FITS = 2**26  # bytes: below it, the available memory is not asked for


def peak_map_bytes(model: keras.Model, bands: int) -> float | None:
    """Count the bytes of the feature maps that a network holds at once, for each pixel of its input.

    Each map is held until the last layer has read it, as all backends do without gradients. What a
    convolution takes for itself is not counted.

    Args:
        model: Network of images `(batch, height, width, bands)`.
        bands: Number of bands.

    Returns:
        Bytes for each pixel of an image; None if the network is no plain graph of layers.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> peak_map_bytes(keras.Model(images, keras.layers.Conv2D(5, 3, padding="same")(images)), 3)
    32.0
    """
    images = keras.KerasTensor((1, PROBE, PROBE, bands), dtype="float32")
    plan = plan_of(model)
    return None if plan is None else _peak(plan, [images])[1] / PROBE**2


def _peak(plan: GraphPlan, inputs: Sequence[keras.KerasTensor]) -> tuple[keras.KerasTensor, int]:
    """The output of a graph, and the most bytes that its results take at once."""
    results, most = dict(enumerate(inputs)), 0
    for step in plan.steps:
        read = [results[number] for number in step.inputs]
        inner = plan_of(step.layer) if isinstance(step.layer, keras.Model) else None
        if inner is not None:
            output, within = _peak(inner, read)
        else:
            output = step.layer.compute_output_spec(read if step.listed else read[0])
            within = _bytes(output)
        counted = step.inputs if inner is not None else ()  # of them, the inner graph counts its inputs
        others = sum(_bytes(result) for number, result in results.items() if number not in counted)
        most = max(most, others + within)
        for number in step.free:
            del results[number]
        results[step.output] = output
    return results[plan.output], most


def _bytes(tensor: keras.KerasTensor) -> int:
    item = 4 if tensor.dtype == "float32" else np.dtype("uint16").itemsize  # or half precision
    return int(np.prod(tensor.shape)) * item


class MemoryCheck:
    """Check, from the size of an image, whether its prediction fits into the memory that is available.

    The estimate is a little low, so that nothing is refused that fits: it counts the image and its answers,
    and the feature maps that the network holds at once.

    Args:
        predictor: Predictor of the model.
        host_bytes: Bytes for each pixel of an image on the host: decoded, padded and coloured image, class
            ids, encoded files.
        less: What needs less memory, for the hint.
    """

    def __init__(self, predictor: Predictor, *, host_bytes: int, less: str):
        self._predictor, self.host_bytes, self._less = predictor, host_bytes, less

    @cached_property
    def _map_bytes(self) -> float:
        model = self._predictor.segmenter
        return peak_map_bytes(model, model.input_shape[-1]) or 0.0

    def needed(self, size: tuple[int, int]) -> tuple[int, int]:
        """Estimate the bytes for an image of a height and width: of the network, and of the host."""
        predictor = self._predictor
        host = int(np.prod(size)) * (self.host_bytes + predictor.probability_bytes)
        return int(self._map_bytes * predictor.pixels_at_once(size)), host

    def validate(self, path: Path | str, size: tuple[int, int]) -> None:
        """Check an image before it is read.

        Args:
            path: Path of the image, for the message.
            size: Height and width in which it is predicted.

        Raises:
            OutOfMemoryError: Its prediction needs more memory than there is.
        """
        network, host = self.needed(size)
        if network + host < ALWAYS_FITS:
            return
        parts = [(network + host, available_memory(), "")]
        if on_accelerator():
            parts = [(network, available_gpu_memory(), " of the GPU"), (host, available_memory(), "")]
        for needed, room, where in parts:
            if room is not None and needed > room:
                raise OutOfMemoryError(
                    f"{path}: predicting {size[1]} x {size[0]} pixels as {self._predictor.options.line()} "
                    f"needs at least {needed / 1e9:.2g} GB of memory{where}, {room / 1e9:.2g} GB are "
                    "available",
                    hint=self._less,
                )
