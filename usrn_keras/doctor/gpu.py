"""NVIDIA GPUs: those of the machine beside those that the chosen backend sees."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from usrn_keras.backend_choice import BACKENDS
from usrn_keras.doctor.findings import NOTE, Finding
from usrn_keras.doctor.probe import Probe
from usrn_keras.machine.nvidia import Nvidia, NvidiaGpu

GIB = 2**30
HIDING = ("", "-1", "none", "NoDevFiles")
CUDA13_DRIVER = 580  # the first driver that runs CUDA 13
CUDA13_CAPABILITY = 7.5  # and the oldest GPUs
TAKEN = 0.3  # share of a GPU's memory that others may hold before it is worth a word


@dataclass(frozen=True)
class GpuSection:
    """GPUs.

    Args:
        nvidia: What the driver shows.
        probe: What became of loading the chosen backend, or None.
        visible: `CUDA_VISIBLE_DEVICES`, or None where it is not set.
    """

    nvidia: Nvidia
    probe: Probe | None
    visible: str | None = None
    title = "GPU"

    def lines(self) -> list[str]:
        """Each GPU of the driver, and what the backend trains on."""
        shown = [
            f"{gpu.name}, {_gib(gpu.total)}, {_gib(gpu.free)} free, compute capability "
            f"{gpu.capability or 'unknown'}, driver {gpu.driver}"
            for gpu in self.nvidia.gpus
        ]
        if not shown:
            shown = [
                "an NVIDIA device without a driver that answers" if self.nvidia.hardware else "no NVIDIA GPU"
            ]
        if self.probe is not None and self.probe.devices:
            shown.append(f"{self.probe.name} trains on {self.probe.devices[0].name}")
        return shown

    def to_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "hardware": self.nvidia.hardware,
            "fault": self.nvidia.fault,
            "gpus": [asdict(gpu) for gpu in self.nvidia.gpus],
            "used": bool(self.probe and self.probe.accelerators),
        }

    def findings(self) -> list[Finding]:
        """A GPU that cannot be used, is not used, or is used by others."""
        if not self.nvidia.hardware:
            return []
        if not self.nvidia.gpus:
            return [
                Finding(
                    "gpu_driver",
                    f"there is an NVIDIA device, and no driver that works: {self.nvidia.fault}",
                    "install the NVIDIA driver and reboot; in a container, start it with the GPU "
                    "(docker run --gpus all ...)",
                )
            ]
        if self.probe is None or not self.probe.loads:
            return []  # which is said already
        return self._taken() if self.probe.accelerators else [self._unused()]

    def _unused(self) -> Finding:
        name = self.probe.name
        said = self.probe.said[-1:]
        if self.visible is not None and self.visible.strip() in HIDING:
            return Finding(
                "gpu_hidden",
                f"the NVIDIA GPU is hidden from {name}: CUDA_VISIBLE_DEVICES is {self.visible!r}",
                "unset CUDA_VISIBLE_DEVICES",
                said,
            )
        return Finding(
            "gpu_unused",
            f"there is an NVIDIA GPU ({self.nvidia.gpus[0].name}), and {name} does not see it",
            install_for_gpu(name, self.nvidia.gpus[0]),
            said,
        )

    def _taken(self) -> list[Finding]:
        gpu = self.nvidia.gpus[0]
        if not gpu.total or gpu.free is None or gpu.free >= (1 - TAKEN) * gpu.total:
            return []
        message = f"other processes hold {_gib(gpu.total - gpu.free)} of the {_gib(gpu.total)} of {gpu.name}"
        return [
            Finding("gpu_taken", message, "end them (nvidia-smi lists them), or lower the batch", level=NOTE)
        ]


def install_for_gpu(name: str, gpu: NvidiaGpu) -> str:
    """The command that installs a backend for a GPU and its driver.

    Example:

    >>> install_for_gpu("jax", NvidiaGpu("GTX 1080", None, None, 6.1, "580.65.06"))
    "pip install 'jax[cuda12]'"
    """
    major = gpu.driver.split(".")[0]
    old_driver = major.isdigit() and int(major) < CUDA13_DRIVER
    old_gpu = gpu.capability is not None and gpu.capability < CUDA13_CAPABILITY
    return BACKENDS[name].install_cuda12 if old_driver or old_gpu else BACKENDS[name].install_gpu


def _gib(size: int | None) -> str:
    return "memory unknown" if size is None else f"{size / GIB:.1f} GiB"
