"""A step that is timed, the same for all that is compared."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from benchmarks.devices import Host
from benchmarks.worker import Worker


class TimedStep(ABC):
    """What a worker measures: see `worker.serve`.

    Args:
        device: Where it computes.
        versions: Of its libraries.
    """

    def __init__(self, device: Host, versions: str):
        self._device = device
        self.facts = {"device": device.name(), "versions": versions}

    @abstractmethod
    def once(self) -> float:
        """One whole step; its loss."""

    @abstractmethod
    def flops(self) -> int:
        """Operations of a step, in convolutions and matrix products; may do a step."""

    def steps(self, count: int) -> dict[str, Any]:
        """`seconds` of each step, the last `loss`, and `peak_memory` in bytes.

        The peak is that since the last answer, if that said `peak_was_reset`; else since the start.
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
