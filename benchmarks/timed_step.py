"""A timed training step and its batch, the same for everything that is compared."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.devices import Host
from benchmarks.worker import Worker


class TimedStep(ABC):
    """What a worker measures; see `worker.serve`.

    Args:
        device: Device that computes.
        versions: Versions of its libraries.
    """

    def __init__(self, device: Host, versions: str):
        self._device = device
        self.facts = {"device": device.name(), "versions": versions}

    @abstractmethod
    def launch(self) -> Any:
        """Start one step and return its loss, which the device may not have computed yet."""

    def once(self) -> float:
        """Do one step and return its loss."""
        return float(self.launch())

    def streamed(self, count: int) -> float:
        """Seconds per step if nothing is read from the device before the last step."""
        started, loss = time.perf_counter(), None
        for _ in range(count):
            loss = self.launch()
        float(loss)
        self._device.wait()
        return (time.perf_counter() - started) / count

    @abstractmethod
    def flops(self) -> int:
        """Operations of the convolutions and matrix products of a step; may do a step."""

    def steps(self, count: int) -> dict[str, Any]:
        """`seconds` of each step, the last `loss`, and `peak_memory` in bytes.

        The peak is that since the previous answer if that one has `peak_was_reset`, else since the start.
        """
        seconds, loss = [], float("nan")
        for _ in range(count):
            started = time.perf_counter()
            loss = self.once()
            self._device.wait()  # the loss may be there before the weights are updated
            seconds.append(time.perf_counter() - started)
        found = {"seconds": seconds, "loss": loss, "peak_memory": self._device.peak_memory()}
        return found | {"peak_was_reset": self._device.reset_peak_memory()}


def take_turns(workers: Sequence[Worker], rounds: int, steps: int) -> list[list[dict[str, Any]]]:
    """Answers of `TimedStep.steps` by round and worker; the order turns round in every other round."""
    answers = []
    for number in range(rounds):
        order = list(enumerate(workers))[:: -1 if number % 2 else 1]
        found = {index: worker.call("steps", steps) for index, worker in order}
        answers.append([found[index] for index in range(len(workers))])
    return answers


def split_list(classes: int, subclasses: int) -> list[int]:
    """Number of subclasses of each class, as equal as possible; the sum is `subclasses`."""
    return [subclasses // classes + (index < subclasses % classes) for index in range(classes)]


def parents(classes: int, subclasses: int) -> np.ndarray:
    """`(subclasses,)` int32, the class of each subclass, in ascending order."""
    return np.repeat(np.arange(classes, dtype=np.int32), split_list(classes, subclasses))


def made_batch(batch: int, crop: int, classes: int, subclasses: int) -> dict[str, np.ndarray]:
    """Noise, the same in every call.

    `labelled`, `weak`: `(batch, crop, crop, 3)` uint8; `labels`, `sublabels`: `(batch, crop, crop)` int32.
    """
    rng = np.random.default_rng(0)
    size = (batch, crop, crop)
    sublabels = rng.integers(0, subclasses, size).astype(np.int32)
    return {
        "labelled": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "weak": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "labels": parents(classes, subclasses)[sublabels],
        "sublabels": sublabels,
    }
