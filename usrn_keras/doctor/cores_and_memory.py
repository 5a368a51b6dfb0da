"""Cores, threads, memory and the rate of a matrix product."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from usrn_keras.doctor.findings import CHANGE, NOTE, Finding
from usrn_keras.machine.cores import Cores

GIB = 2**30
THREAD_VARIABLES = {  # what they hold back; the jax backend heeds none of them
    "OMP_NUM_THREADS": ("torch", "NumPy"),
    "MKL_NUM_THREADS": ("torch", "NumPy"),
    "OPENBLAS_NUM_THREADS": ("NumPy",),
    "NUMBA_NUM_THREADS": ("the clustering",),
    "TF_NUM_INTRAOP_THREADS": ("tensorflow",),
}
BUSY = 0.5  # share of the usable cores that others may keep busy before it is worth a word
LITTLE = 3 * GIB  # less does not hold Keras, a backend and a small step


@dataclass(frozen=True)
class CoresSection:
    """Cores and memory.

    Args:
        cores: What there is.
        total, free: Bytes of memory, within the limits of the container; None where not told.
        flops: Operations per second of a float32 matrix product.
        threads: The variables of `THREAD_VARIABLES` that are set.
        backend: The chosen one.
        on_gpu: Whether a GPU trains.
    """

    cores: Cores
    total: int | None
    free: int | None
    flops: float
    threads: Mapping[str, str]
    backend: str = ""
    on_gpu: bool = False
    title = "cores and memory"

    def lines(self) -> list[str]:
        """Cores, their load, memory, the rate of a matrix product."""
        cores = self.cores
        quota = f", {cores.quota:g} granted by the container" if cores.quota else ""
        load = "" if cores.load is None else f"; load {cores.load:.1f} in the last minute"
        variables = ", ".join(f"{name}={value}" for name, value in self.threads.items())
        return [
            f"{cores.usable} of {cores.present} cores usable{quota}{load}"
            + (f"; {variables}" if variables else ""),
            f"memory: {_gib(self.free)} free of {_gib(self.total)}",
            f"float32 matrix product: {self.flops / 1e9:.0f} GFLOP/s",
        ]

    def to_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            **asdict(self.cores),
            "usable": self.cores.usable,
            "threads": dict(self.threads),
            "memory": self.total,
            "free_memory": self.free,
            "matrix_product_flops": self.flops,
        }

    def findings(self) -> list[Finding]:
        """Threads that are too few or too many, cores that others use, little memory."""
        return [*self._held_back(), *self._too_many(), *self._busy(), *self._little()]

    def _held_back(self) -> list[Finding]:
        usable = self.cores.usable
        return [
            Finding(
                "few_threads",
                f"{name}={value} holds {' and '.join(THREAD_VARIABLES[name])} to {value} of {usable} cores",
                f"unset {name}",
                level=CHANGE if self._trains_with(name) else NOTE,
            )
            for name, value in self.threads.items()
            if value.isdigit() and 0 < int(value) < usable
        ]

    def _trains_with(self, variable: str) -> bool:
        return not self.on_gpu and self.backend in THREAD_VARIABLES[variable]

    def _too_many(self) -> list[Finding]:
        """Backends start a thread for each core that they see, and a container's quota they do not see."""
        cores, usable = self.cores, self.cores.usable
        variable = self.threads.get("OMP_NUM_THREADS", "")
        is_set = variable.isdigit() and self._trains_with("OMP_NUM_THREADS")
        threads = int(variable) if is_set else cores.allowed
        if threads <= usable:
            return []
        message = f"{threads} threads would share {usable} cores, and wait for each other"
        pinned = f"taskset -c 0-{usable - 1} usrn fit ..."
        heeds = self.backend in THREAD_VARIABLES["OMP_NUM_THREADS"]
        return [Finding("many_threads", message, f"export OMP_NUM_THREADS={usable}" if heeds else pinned)]

    def _busy(self) -> list[Finding]:
        load = self.cores.load
        if load is None or load < BUSY * self.cores.usable:
            return []
        message = f"other processes wanted {load:.1f} cores in the last minute, of {self.cores.usable}"
        advice = "end them (top lists them): the rates above, and training, suffer from them"
        return [Finding("busy", message, advice, level=NOTE)]

    def _little(self) -> list[Finding]:
        if self.free is None or self.free >= LITTLE:
            return []
        message = f"only {_gib(self.free)} of memory are free"
        advice = "end other programs, raise the container's limit, or lower views.crop_size and the batches"
        return [Finding("little_memory", message, advice)]


def thread_variables() -> dict[str, str]:
    """Those that are set in the environment."""
    return {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}


def _gib(size: int | None) -> str:
    return "an unknown amount" if size is None else f"{size / GIB:.1f} GiB"
