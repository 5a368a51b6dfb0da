"""NVIDIA GPUs as the hardware, the driver and its tool tell of them."""

from __future__ import annotations

import csv
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

DEVICE_FILES = tuple(map(Path, ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")))
PCI_DEVICES = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY = "0x10de", "0x03"  # vendor, and class of graphics and 3D controllers
FACTS = ("name", "memory.total", "memory.free", "compute_cap", "driver_version")
SECONDS = 10  # a driver that hangs must not hang us


@dataclass(frozen=True)
class NvidiaGpu:
    """A GPU that the driver shows.

    Args:
        name: Such as `NVIDIA H200`.
        total, free: Bytes of its memory; None where they are not told.
        capability: Compute capability, such as 9.0; None where it is not told.
        driver: Version of the driver, such as `580.65.06`.
    """

    name: str
    total: int | None
    free: int | None
    capability: float | None
    driver: str


@dataclass(frozen=True)
class Nvidia:
    """What there is of NVIDIA.

    Args:
        gpus: Those that the driver shows.
        hardware: Whether the machine has one, as far as the system tells.
        fault: Why the driver shows none although there is one, or "".
    """

    gpus: tuple[NvidiaGpu, ...] = ()
    hardware: bool = False
    fault: str = ""


def has_nvidia_gpu() -> bool:
    """Whether the driver shows a device."""
    return any(path.exists() for path in DEVICE_FILES)


def gpu_memory() -> int | None:
    """Bytes of the first GPU's memory as nvidia-smi tells, or None."""
    gpus = look_for_nvidia().gpus
    return gpus[0].total if gpus else None


def look_for_nvidia(pci: Path = PCI_DEVICES, *, device: str = "") -> Nvidia:
    """GPUs of the driver, or the reason why it shows none.

    Args:
        pci: Where the system lists the devices of the machine.
        device: Number or UUID of the GPU to ask for; empty: all.
    """
    hardware = has_nvidia_gpu() or _on_the_bus(pci)
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Nvidia((), hardware, "there is no nvidia-smi: the driver is not installed" * hardware)
    query = [tool, f"--query-gpu={','.join(FACTS)}", "--format=csv,noheader,nounits"]
    query += [f"--id={device}"] * bool(device)
    try:
        told = subprocess.run(query, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        return Nvidia((), hardware, f"nvidia-smi: {error}")
    gpus = tuple(filter(None, map(_gpu, csv.reader(told.stdout.splitlines()))))
    if told.returncode == 0 and gpus:
        return Nvidia(gpus, True)
    last = (told.stdout + told.stderr).strip().splitlines()[-1:]
    return Nvidia((), hardware, f"nvidia-smi: {last[0] if last else f'exit code {told.returncode}'}")


def _on_the_bus(pci: Path) -> bool:
    for device in pci.glob("*"):
        try:
            vendor, kind = ((device / name).read_text(encoding="ascii") for name in ("vendor", "class"))
        except (OSError, UnicodeDecodeError):
            continue
        if vendor.strip() == NVIDIA and kind.startswith(DISPLAY):
            return True
    return False


def _gpu(row: list[str]) -> NvidiaGpu | None:
    """A line of nvidia-smi; figures that it does not know are `[N/A]`."""
    if len(row) != len(FACTS):
        return None
    name, total, free, capability, driver = (cell.strip() for cell in row)
    total, free = (int(size) * 2**20 if size.isdigit() else None for size in (total, free))
    return NvidiaGpu(name, total, free, _number(capability), driver)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
